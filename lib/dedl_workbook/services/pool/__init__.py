"""The S3 pool: objects, their upload, what lies there already."""
