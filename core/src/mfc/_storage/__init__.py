"""Locations of values, and reading their bytes: blobs, ranges, archives."""
