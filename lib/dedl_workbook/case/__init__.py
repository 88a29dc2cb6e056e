"""A ticket's case: its folder, ledger, plans, lock, status, and the audit of what it published."""
