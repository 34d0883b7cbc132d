"""What a client holds: provider, namespace, settings, and how values are read with them."""
