"""What an operator writes: the ticket and the target, and what is wrong in them."""
