"""The defaults of mfc: plugins like any other, that answer when nobody else does."""

from __future__ import annotations

from mfc._plugins.defaults import any_fsspec, metaflow_events, metaflow_namespaces, pickles

#: In the order in which they are asked, after everybody else.
PLUGINS = (metaflow_namespaces, metaflow_events, pickles, any_fsspec)
