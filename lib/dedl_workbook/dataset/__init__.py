"""What was delivered: a folder or a bucket, walked and read without following links."""
