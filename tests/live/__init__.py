"""Readers beside writers: invariants at every moment, in small steps and in a soak."""
