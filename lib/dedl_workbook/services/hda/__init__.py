"""HDA's configuration: its files and dialects, trying it, storing it, what is served."""
