"""The catalogue: PgSTAC, how it is loaded and compared, and the STAC API in front of it."""
