"""What every room stands on: errors, JSON, files, text, times, concurrency, progress, redaction."""
