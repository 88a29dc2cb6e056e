"""The command line: parses, forwards, prints, and returns the exit code."""
