"""The state of a client: provider, namespace and settings, and reading values with them."""
