"""Log lines: merged, selected, the end of them, followed."""
