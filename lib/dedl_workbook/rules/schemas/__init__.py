"""STAC's JSON schemas: the lock, the store, and where they come from."""
