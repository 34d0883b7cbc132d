"""Many values at once, and values read before they are asked for."""
