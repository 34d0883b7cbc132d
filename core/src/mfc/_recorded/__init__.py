"""Facts from recorded metadata: graph, lineage, status, outcomes, included files."""
