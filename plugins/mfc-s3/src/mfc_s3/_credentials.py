"""Who reads: the credentials that boto3 would find, in its order, without boto3 where possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs

from mfc.config import Config
from mfc_objectstore.machine import answers

_PROFILE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
#: Variables that obstore reads itself: web identity, and roles of containers.
_WEB = ("AWS_WEB_IDENTITY_TOKEN_FILE",)
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
#: What makes a profile more than a pair of keys. Source: boto3's guide to credentials.
_NEEDS_BOTO3 = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
_METADATA = "http://169.254.169.254"
#: boto3 renews what expires within ten minutes, so it is asked again well within them.
_RENEWED = timedelta(minutes=5)


@attrs.frozen
class Credentials:
    """Credentials as obstore takes them."""

    #: Options of the store.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Gives them, and new ones when they expire; None if they are in the options, or obstore's.
    provider: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    #: The region that belongs to them, None if nothing says.
    region: str | None = None


def credentials(keys: Mapping[str, str], config: Config) -> Credentials:
    """Return the first credentials that are found.

    Args:
        keys: those that were given; they win.
        config: the client's settings.

    Raises:
        PermissionError: there are none, or boto3 is needed for them and is not installed.
    """
    environment = config.environment
    session = config.mapping("DATATOOLS_SESSION_VARS")
    if not keys and session:
        return _of_boto3(session, "METAFLOW_DATATOOLS_SESSION_VARS")
    profile = _profile(environment)
    found = Credentials(keys, region=profile.get("region"))
    if keys or environment.get("AWS_ACCESS_KEY_ID"):
        return found
    if any(map(profile.__contains__, _NEEDS_BOTO3)):
        return _of_boto3({}, f"profile {_name(environment)!r} of AWS's configuration")
    if any(map(environment.get, _WEB)):
        return found
    if "aws_access_key_id" in profile:
        return attrs.evolve(found, options=_keys_of(profile))
    in_container = any(map(environment.get, _CONTAINER))
    return found if in_container else attrs.evolve(found, options=_machine(environment))


def _name(environment: Mapping[str, str]) -> str:
    return next(filter(None, map(environment.get, _PROFILE)), None) or "default"


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what AWS's two files say of the profile that is chosen.

    Raises:
        PermissionError: a profile was chosen that neither has.
    """
    name = _name(environment)
    found: dict[str, str] = {}
    places = (
        ("AWS_CONFIG_FILE", "~/.aws/config", "default" if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name),
    )
    for variable, usual, section in places:
        found.update(_section(os.path.expanduser(environment.get(variable) or usual), section))
    if not found and any(map(environment.get, _PROFILE)):
        raise PermissionError(
            f"AWS_PROFILE is {name!r}, and neither ~/.aws/config nor ~/.aws/credentials has it"
        )
    return found


def _section(path: str, name: str) -> Mapping[str, str]:
    """Return a section of one of AWS's files; nothing if there is none, or no file."""
    if not os.path.exists(path):
        return {}
    import configparser  # many machines have neither file

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, ValueError) as cause:
        raise PermissionError(f"AWS's configuration cannot be read: {cause}") from cause
    return parser[name] if parser.has_section(name) else {}


def _keys_of(profile: Mapping[str, str]) -> dict[str, str]:
    names = ("access_key_id", "secret_access_key", "session_token")
    return {name: profile[f"aws_{name}"] for name in names if f"aws_{name}" in profile}


def _of_boto3(session: Mapping[str, Any], why: str) -> Credentials:
    """Return credentials that boto3 finds: SSO, assumed roles, programs."""
    try:
        import boto3  # 190 ms, and few profiles need it
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError as missing:
        raise PermissionError(
            f"No credentials for S3: {why} needs boto3: pip install 'mfc-s3[boto3]'"
        ) from missing
    try:
        variables = {name: tuple(value) for name, value in session.items()}
        made = boto3.session.Session(botocore_session=botocore.session.Session(variables))
        found = made.get_credentials()
    except (BotoCoreError, ValueError, TypeError) as cause:
        raise PermissionError(f"No credentials for S3: {why}: {cause}") from cause
    if found is None:
        raise PermissionError(f"No credentials for S3: {why} has none")

    def keys() -> dict[str, Any]:
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(timezone.utc) + _RENEWED,
        }

    return Credentials(provider=keys, region=made.region_name)


def _machine(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where the role of this machine is asked for.

    Raises:
        PermissionError: it is no machine of Amazon's.
    """
    place = (
        environment.get("AWS_METADATA_ENDPOINT")
        or environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        or _METADATA
    )
    off = environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if off or not answers(place):
        raise PermissionError(
            "No credentials for S3: neither in METAFLOW_DATATOOLS_CLIENT_PARAMS, nor in the "
            "environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE, "
            f"AWS_CONTAINER_CREDENTIALS_…), nor in ~/.aws, and no metadata server at {place}; "
            "for public buckets set AWS_SKIP_SIGNATURE=true"
        )
    return {"metadata_endpoint": place}
