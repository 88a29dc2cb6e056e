"""The procedure's steps, each with plan, apply and check, and their order."""
