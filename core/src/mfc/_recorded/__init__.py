"""What recorded metadata says: graph, lineage, status, outcomes, included files."""
