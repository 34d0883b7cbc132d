"""Real Metaflow and mfc answer the same queries about the same results."""
