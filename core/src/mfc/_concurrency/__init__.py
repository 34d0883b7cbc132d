"""Threads, calls in flight, prefetching, and what a fork does to them."""
