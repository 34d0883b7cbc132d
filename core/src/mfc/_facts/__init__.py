"""Facts about results, each computed when it is asked for: failures, timelines, tables."""
