"""Entry points, selection, registry and guarded hooks; `defaults` is Metaflow's own behaviour."""
