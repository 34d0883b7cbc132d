"""Readers beside writers: what must hold at every moment, in small steps and in a soak."""
