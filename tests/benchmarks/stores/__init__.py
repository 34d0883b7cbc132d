"""Cost of reading values from an object store."""
