"""Facts about results as frozen values: tables."""
