"""Bulk loading and prefetch of values."""
