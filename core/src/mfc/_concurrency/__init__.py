"""Threads, calls in flight, prefetch, and their behaviour at a fork."""
