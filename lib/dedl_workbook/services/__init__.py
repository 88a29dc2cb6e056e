"""The systems of a data lake: pool, catalogue, HDA, help desk, IAM."""
