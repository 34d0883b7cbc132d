"""Distributions that serve a kind: advice on what to install, and no more."""

from __future__ import annotations

#: Kinds of metadata, as addresses begin.
METADATA = {
    "local": "mfc-local",
    "spin": "mfc-local",
    "service": "mfc-service",
    "http": "mfc-service",
    "https": "mfc-service",
}
#: Datastore types and encodings of values.
VALUES = {
    "local": "mfc-local",
    "spin": "mfc-local",
    "s3": "mfc-s3",
    "gs": "mfc-gcs",
    "azure": "mfc-azure",
    "safetensors": "mfc-safetensors",
}
