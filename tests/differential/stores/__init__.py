"""Real Metaflow records with its artifacts in the clouds, and both clients answer the same queries."""
