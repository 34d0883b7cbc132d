"""Where S3 is and how it is spoken to, from the settings of Metaflow and of boto3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from mfc.config import Config
from mfc.errors import BadSetting
from mfc_objectstore.machine import certificates

_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")
#: Arguments of boto3's client that are keys, by obstore's names for them.
_KEYS = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}


@attrs.frozen
class Settings:
    """Settings as Metaflow's users have them.

    Source:
        Metaflow 2.19, `metaflow_config`: DATATOOLS_CLIENT_PARAMS are arguments of boto3's client.
    """

    #: Keys that were given, by obstore's names.
    keys: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    #: Options of obstore that were chosen for this store.
    chosen: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: None for Amazon's own.
    endpoint: str | None = None
    #: None if nothing names it.
    region: str | None = None
    #: Whether the bucket's name is in the host's name.
    virtual: bool = False
    #: Requests are not signed.
    anonymous: bool = False
    #: Options of the HTTP client.
    client: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, config: Config) -> Settings:
        """Return what a client's configuration says.

        Raises:
            BadSetting: a setting is not of its kind.
            PermissionError: a file with certificates cannot be read.
        """
        given = config.mapping("DATATOOLS_CLIENT_PARAMS")
        chosen = config.mapping("MFC_S3_OPTIONS")
        advanced = _mapping(given, "config")
        environment = config.environment
        endpoint = _endpoint(given, config)
        return cls(
            {ours: given[name] for ours, name in _KEYS.items() if given.get(name)},
            chosen,
            endpoint,
            given.get("region_name")
            or environment.get("AWS_REGION")
            or environment.get("AWS_DEFAULT_REGION"),
            _mapping(advanced, "s3").get("addressing_style") == "virtual",
            bool(chosen.get("skip_signature") or _flag(environment.get("AWS_SKIP_SIGNATURE")))
            or advanced.get("signature_version") == "unsigned",
            {
                **({"allow_http": True} if (endpoint or "").startswith("http://") else {}),
                **_proxy(_mapping(advanced, "proxies")),
                **_trust(config.text("S3_VERIFY_CERTIFICATE") or given.get("verify"), config),
            },
        )

    def options(self, bucket: str, region: str) -> dict[str, Any]:
        """Return the options of obstore for a bucket in a region, credentials left out."""
        found: dict[str, Any] = {"region": region}
        endpoint = self.endpoint
        if endpoint is None and region.startswith("cn-"):
            endpoint = f"https://s3.{region}.amazonaws.com.cn"
        if self.virtual:
            found["virtual_hosted_style_request"] = True
            if endpoint is not None:
                from urllib.parse import urlsplit  # few stores have one

                parts = urlsplit(endpoint)
                endpoint = parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
        if endpoint is not None:
            found["endpoint"] = endpoint
        if self.anonymous:
            found["skip_signature"] = True
        return {**found, **self.chosen}


def _endpoint(given: Mapping[str, Any], config: Config) -> str | None:
    """Return the endpoint; boto3's argument wins, then Metaflow's setting, then boto3's own."""
    environment = config.environment
    found = (
        given.get("endpoint_url")
        or config.text("S3_ENDPOINT_URL")
        or environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
    )
    if found and not str(found).startswith(("http://", "https://")):
        value, source = config.find("S3_ENDPOINT_URL") or (found, "DATATOOLS_CLIENT_PARAMS")
        raise BadSetting("METAFLOW_S3_ENDPOINT_URL", value, source, "a URL, http:// or https://")
    return str(found).rstrip("/") if found else None


def _trust(verify: object, config: Config) -> dict[str, Any]:
    """Return which certificates are trusted: a file's, the system's, or any."""
    word = str(verify).lower()
    if verify is not None and word in _NO:
        return {"allow_invalid_certificates": True}
    environment = dict(config.environment)
    if verify is not None and word not in _YES:
        environment["METAFLOW_S3_VERIFY_CERTIFICATE"] = str(verify)
    names = ("METAFLOW_S3_VERIFY_CERTIFICATE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    return dict(certificates(environment, *names[verify is None or word in _YES :]))


def _proxy(proxies: Mapping[str, Any]) -> dict[str, Any]:
    found = proxies.get("https") or proxies.get("http")
    return {"proxy_url": found} if found else {}


def _mapping(within: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = within.get(name) or {}
    if not isinstance(found, dict):
        source = "METAFLOW_DATATOOLS_CLIENT_PARAMS"
        raise BadSetting(f"{source}: {name}", found, "the configuration", "a JSON object")
    return found


def _flag(value: str | None) -> bool:
    return value is not None and value.lower() in _YES
