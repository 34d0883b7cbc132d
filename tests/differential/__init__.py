"""Real Metaflow and mfc answer the same questions about the same results."""
