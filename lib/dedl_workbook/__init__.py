"""Promotion of user datasets to public ones on the DestinE Data Lake."""

__version__ = "0.1.0"
