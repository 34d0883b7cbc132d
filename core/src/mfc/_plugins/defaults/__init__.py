"""The defaults of mfc: ordinary plugins that answer when no other plugin does."""

from __future__ import annotations

from mfc._plugins.defaults import any_fsspec, metaflow_events, metaflow_namespaces, pickles

#: In the order in which they are called, after all other plugins.
PLUGINS = (metaflow_namespaces, metaflow_events, pickles, any_fsspec)
