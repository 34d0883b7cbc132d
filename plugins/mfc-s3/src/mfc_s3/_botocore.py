"""botocore's decisions: the credentials, and where a bucket is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import attrs
import botocore
from botocore import exceptions as errors
from botocore.config import Config as ClientConfig
from botocore.httpsession import ProxyConfiguration
from botocore.session import Session
from botocore.utils import get_environ_proxies

from mfc.errors import BadSetting
from mfc_objectstore.files import Bucket
from mfc_objectstore.machine import bare, channel, endpoint
from mfc_objectstore.secrets import safely, scrubbed
from mfc_s3._amazon import KEYS, signed

#: Stands for the key of an object.
_KEY = "key"
#: Signatures that botocore and obstore share.
_SIGNATURES = ("s3v4", "v4", "v4-s3express")
#: Seconds after which keys that botocore renews are fetched again: it renews them minutes before
#: they expire.
_ASKED_AGAIN = 60.0
_NONE = (
    "No credentials for S3: neither in METAFLOW_DATATOOLS_CLIENT_PARAMS, nor in the environment "
    "(AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_…), "
    "nor in ~/.aws, nor from a metadata server; for public buckets set "
    'MFC_S3_OPTIONS={"skip_signature": true}'
)


class _Ready(Exception):
    """A request is ready to be signed, and stays unsent."""

    def __init__(self, request: Any, version: Any) -> None:
        self.request, self.version = request, version


def _stop(request: Any, signature_version: Any, **_: Any) -> None:
    raise _Ready(request, signature_version)


def asked(
    name: str, arguments: Mapping[str, Any], variables: Mapping[str, Any], *, unsigned: bool
) -> Bucket:
    """Return how botocore would read from a bucket.

    Args:
        name: of the bucket.
        arguments: of its client.
        variables: of its session.
        unsigned: requests stay unsigned, whatever else is set.

    Raises:
        PermissionError: credentials are missing or cannot be fetched.
        BadSetting: an endpoint or argument is invalid.
    """

    def request() -> tuple[Session, Any, _Ready]:
        session, client = _client(arguments, variables, unsigned=unsigned)
        client.meta.events.register_first("before-sign.s3.GetObject", _stop)
        try:
            client.get_object(Bucket=name, Key=_KEY)
        except _Ready as ready:
            return session, client, ready
        raise ValueError(name)

    session, client, ready = safely(request, _told)
    url = ready.request.url.partition("?")[0].removesuffix(f"/{_KEY}")
    place = endpoint(url, "the endpoint of S3", "AWS's configuration")
    way = _channel(session, client, arguments, url)
    if ready.version is botocore.UNSIGNED:
        return signed(place, "us-east-1", ["-", "-", None], way, {"skip_signature": True})
    return _signed(session, arguments, ready, place, way)


def _signed(
    session: Session,
    arguments: Mapping[str, Any],
    ready: _Ready,
    place: str,
    way: Mapping[str, Any],
) -> Bucket:
    signing = ready.request.context.get("signing", {})
    if ready.version not in _SIGNATURES or "s3" not in signing.get("signing_name", "s3"):
        raise PermissionError(
            f"S3 is to be asked with signature {ready.version!r}, which is not supported"
        )
    region = signing.get("region") or ready.request.context["client_region"]
    options = {"aws_s3_express": True} if ready.version == "v4-s3express" else {}
    if arguments.get("aws_access_key_id"):
        return signed(place, region, [arguments.get(name) for name in KEYS], way, options)
    credentials = safely(session.get_credentials, _told)
    if credentials is None:
        raise PermissionError(_NONE)

    def renew() -> Bucket:
        keys = safely(credentials.get_frozen_credentials, _told)
        made = signed(place, region, keys[:3], way, options)
        lasts = not hasattr(credentials, "refresh_needed")
        return made if lasts else attrs.evolve(made, until=time.time() + _ASKED_AGAIN, renew=renew)

    return renew()


def region_of(name: str, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> str | None:
    """Return the region that a bucket's own answer names; any caller may ask for it.

    Source:
        Amazon S3, HeadBucket: the header is there whether access is allowed or not.
    """
    try:
        _, client = _client(arguments, variables, unsigned=True)
        try:
            answer: Mapping[str, Any] = client.head_bucket(Bucket=name)
        except errors.ClientError as error:
            answer = error.response
    except Exception:  # noqa: BLE001 - the store's first answer says more
        return None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    found = headers.get("x-amz-bucket-region")
    return None if found is None else str(found)


def _client(
    arguments: Mapping[str, Any], variables: Mapping[str, Any], *, unsigned: bool
) -> tuple[Session, Any]:
    session = Session({name: tuple(value) for name, value in variables.items()})
    given = dict(arguments)
    config = dict(given.get("config") or {})
    if unsigned or config.get("signature_version") == "unsigned":
        config["signature_version"] = botocore.UNSIGNED
    given["config"] = ClientConfig(**config)
    return session, session.create_client("s3", **given)


def _channel(
    session: Session, client: Any, arguments: Mapping[str, Any], url: str
) -> dict[str, Any]:
    """Return the settings of the connection: proxy and certificates of botocore's own endpoint."""
    proxies = client.meta.config.proxies
    if proxies is None:
        proxies = get_environ_proxies(client.meta.endpoint_url)
    proxy = ProxyConfiguration(proxies).proxy_url_for(url)
    verify = arguments.get("verify")
    if verify is None:
        verify = session.get_config_variable("ca_bundle")
    if verify is None:
        verify = os.environ.get("REQUESTS_CA_BUNDLE")
    return channel(url, proxy, verify, client.meta.config.client_cert)


def _told(error: Exception) -> str | Exception:
    """Return the exception to raise for an error of botocore, or of the settings that it reads."""
    kind, text = type(error).__name__, scrubbed(error)
    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, UnicodeError):
        is_endpoint = "endpoint" in text
        name = "The endpoint of S3" if is_endpoint else "METAFLOW_DATATOOLS_CLIENT_PARAMS"
        value = bare(text.rpartition(": ")[2]) if is_endpoint else f"… ({kind})"
        return BadSetting(name, value, "AWS's configuration", "what boto3's client takes")
    if isinstance(error, errors.ProfileNotFound):
        text = f"AWS_PROFILE is {error.kwargs['profile']!r}, and neither of AWS's files has it"
    elif isinstance(error, errors.ConfigParseError):
        text = f"AWS's configuration cannot be read: {error.kwargs['path']}"
    elif isinstance(error, errors.CredentialRetrievalError):
        text = f"{error.kwargs['provider']} failed: run by hand what the profile names"
    elif not isinstance(error, (errors.BotoCoreError, errors.ClientError)):
        text = f"AWS's configuration cannot be used ({kind})"
    return f"No credentials for S3: {text}"
