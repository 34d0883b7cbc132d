"""Requests, bytes and time of each operation against a metadata service: Metaflow, mfc and the minimum."""
