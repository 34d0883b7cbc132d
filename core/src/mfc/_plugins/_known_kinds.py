"""Distributions by the kind that they serve, only for advice on installation."""

from __future__ import annotations

#: Kinds of metadata: the prefixes of addresses.
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
