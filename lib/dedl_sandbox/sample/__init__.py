"""The sample dataset: heat maps made from nothing, as a user would deliver them."""
