"""The rulebook: what must hold of a dataset before it is promoted."""
