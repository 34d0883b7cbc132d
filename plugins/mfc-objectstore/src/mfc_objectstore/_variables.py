"""Variables that obstore reads by itself, and the options that override them."""

from __future__ import annotations

import os
from typing import Any

#: Options that variables of the same name set, with their values without one.
_USUAL: dict[str, dict[str, Any]] = {
    "S3Store": {
        "aws_checksum_algorithm": "sha256",
        "aws_conditional_put": "etag",
        "aws_copy_if_not_exists": "multipart",
        "aws_disable_bulk_delete": False,
        "aws_disable_tagging": False,
        "aws_imdsv1_fallback": False,
        "aws_request_payer": False,
        "aws_s3_express": False,
        "aws_server_side_encryption": "AES256",
        "aws_skip_signature": False,
        "aws_sse_bucket_key_enabled": False,
        "aws_unsigned_payload": False,
    },
    "AzureStore": {
        "azure_disable_tagging": False,
        "azure_skip_signature": False,
        "azure_storage_use_emulator": False,
        "azure_use_emulator": False,
        "azure_use_fabric_endpoint": False,
    },
}


def undone(store: str, url: str) -> dict[str, Any]:
    """Return the options that make a store independent of such variables.

    Args:
        store: obstore's class.
        url: of the bucket.

    Raises:
        PermissionError: a variable cannot be overridden.
    """
    if store == "AzureStore" and "AZURE_STORAGE_ENCRYPTION_KEY" in os.environ:
        name = "AZURE_STORAGE_ENCRYPTION_KEY"
        raise PermissionError(f"{name} is set, with which obstore would encrypt: unset it")
    usual = _USUAL[store]
    found = {name: usual[name] for name in map(str.lower, os.environ) if name in usual}
    if store == "S3Store" and "AWS_ENDPOINT_URL_S3" in os.environ:
        found["aws_endpoint_url_s3"] = url
    return found
