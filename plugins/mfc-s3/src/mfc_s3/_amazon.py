"""Opening buckets of S3 as botocore would; botocore is used only where its answer is uncertain."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from mfc.config import Config
from mfc.errors import BadSetting
from mfc_objectstore.files import Bucket, Cloud
from mfc_objectstore.machine import channel, endpoint, header_safe

if TYPE_CHECKING:
    from mfc_objectstore.failure import Failure

_PARAMETERS = "METAFLOW_DATATOOLS_CLIENT_PARAMS"
#: Keys, as arguments of a client of botocore; in capitals they are variables.
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
#: Arguments and variables that make botocore's answer certain.
_CERTAIN_ARGUMENTS = frozenset({*KEYS, "region_name", "endpoint_url"})
_CERTAIN_VARIABLES = frozenset({*map(str.upper, KEYS), "AWS_DEFAULT_REGION", "AWS_REGION"})
_FILES = ("~/.aws/config", "~/.aws/credentials")
#: Regions whose hosts have the usual names, and buckets that can be part of a host.
_USUAL_REGION = re.compile(
    r"(us|eu|ap|sa|ca|me|af|il)-(east|west|north|south|central|[a-z]+east|[a-z]+west)-\d"
)
_USUAL_BUCKET = re.compile(
    r"(?!xn--|sthree-)[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9](?<!-s3alias)(?<!--x-s3)"
)
_REGION = re.compile(r"<Region>([\w-]+)</Region>")
#: Statuses of a bucket in another region; a HEAD gets the status alone.
_MOVED, _BAD_REQUEST = 301, 400
_CODES = ("PermanentRedirect", "AuthorizationHeaderMalformed", "")


class Amazon(Cloud):
    """S3, with the settings and credentials that Metaflow's users have for it.

    Args:
        config: the client's settings.

    Raises:
        BadSetting: a setting is not of its kind.

    Source:
        Metaflow 2.19, `metaflow_config`: DATATOOLS_CLIENT_PARAMS are arguments of boto3's client.
    """

    ds_type = "s3"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._arguments()

    def bucket(self, name: str, region: str | None = None) -> Bucket:
        """Return the recipe for opening a bucket, in a region if it is known."""
        arguments = self._arguments()
        if region:
            arguments["region_name"] = region
        variables = self._config.mapping("DATATOOLS_SESSION_VARS")
        options = dict(self._config.mapping("MFC_S3_OPTIONS"))
        options.pop("allow_invalid_certificates", None)  # which all stores share
        unsigned = bool(options.pop("skip_signature", False))
        found = None if variables or unsigned else certain(name, arguments)
        if found is None:
            from mfc_s3._botocore import asked  # 300 ms to import, and plain keys work without it

            found = asked(name, arguments, variables, unsigned=unsigned)
        return attrs.evolve(found, options={**found.options, **options})

    def elsewhere(self, name: str, failure: Failure) -> Bucket | None:
        """Return how to open a bucket that turned out to be in another region."""
        wrong = failure.status in (_MOVED, _BAD_REQUEST) or "without LOCATION" in failure.text
        if not wrong or failure.code not in _CODES:
            return None
        said = _REGION.search(failure.text)
        if said:
            return self.bucket(name, said[1])
        from mfc_s3._botocore import region_of  # few buckets are in another region

        region = region_of(name, self._arguments(), self._config.mapping("DATATOOLS_SESSION_VARS"))
        return self.bucket(name, region) if region else None

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of a client of botocore that the settings give."""
        given = dict(self._config.mapping("DATATOOLS_CLIENT_PARAMS"))
        for name in ("config", "verify"):
            if given.get(name) is None:
                given.pop(name, None)
        if not isinstance(given.get("config", {}), dict):
            raise BadSetting(f"{_PARAMETERS}: config", "…", "the configuration", "a JSON object")
        url, setting, source = (
            given.get("endpoint_url"),
            f"{_PARAMETERS}: endpoint_url",
            "the settings",
        )
        if not url and (found := self._config.find("S3_ENDPOINT_URL")):
            url, setting, source = found[0], "METAFLOW_S3_ENDPOINT_URL", found[1]
        given.pop("endpoint_url", None)
        if url:
            given["endpoint_url"] = endpoint(url, setting, source)
        if verify := self._config.text("S3_VERIFY_CERTIFICATE"):
            given["verify"] = verify
        word = str(given.get("verify")).lower()
        given.update({"verify": word in ("1", "true", "yes")} if word in _WORDS else {})
        return given


_WORDS = ("1", "true", "yes", "0", "false", "no")


def certain(name: str, arguments: Mapping[str, Any]) -> Bucket | None:
    """Return the bucket as botocore would open it; None where botocore has to decide.

    The answer is certain for plain keys in the arguments or the environment, without a file,
    profile, proxy, certificate or endpoint of another kind.
    """
    environment = os.environ
    amazons = {name for name in environment if name.startswith("AWS_")}
    if (
        sys.platform in ("darwin", "win32")  # which have proxy settings elsewhere
        or not amazons <= _CERTAIN_VARIABLES
        or not arguments.keys() <= _CERTAIN_ARGUMENTS
        or "REQUESTS_CA_BUNDLE" in environment
        or any(key.lower().endswith("_proxy") for key in environment)
        or any(os.path.exists(os.path.expanduser(path)) for path in _FILES)
        or not _USUAL_BUCKET.fullmatch(name)
    ):
        return None
    keys = [arguments.get(name) for name in KEYS]
    if not any(keys):
        keys = [environment.get(name.upper()) for name in KEYS]
    usual = environment.get("AWS_DEFAULT_REGION", "us-east-1")
    region = str(arguments.get("region_name", usual))
    url = arguments.get("endpoint_url")
    if not (keys[0] and keys[1] and _USUAL_REGION.fullmatch(region)) or "amazonaws" in (url or ""):
        return None
    if url is not None:
        return signed(f"{url}/{name}", region, keys, channel(url))
    host = "s3.amazonaws.com" if region == "us-east-1" else f"s3.{region}.amazonaws.com"
    return signed(f"https://{name}.{host}", region, keys, channel("https://"))


def signed(
    url: str,
    region: str,
    keys: Sequence[Any],
    client: Mapping[str, Any],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Bucket:
    """Return a bucket whose requests are signed.

    Args:
        url: of the bucket, in either style; obstore adds nothing to it.
        region: that requests are signed for.
        keys: access key, secret key, and session token or None.
        client: options of the HTTP client.
        options: of obstore's store.

    Raises:
        PermissionError: a key cannot be sent.
    """
    access, secret, token = keys
    credential = {"access_key_id": access, "secret_access_key": secret, "token": token or None}
    if not header_safe(access, token or access):
        raise PermissionError("The access key or session token for S3 has blanks or line breaks")
    said = {"region": region, "virtual_hosted_style_request": True, **options}
    return Bucket(url, "S3Store", said, client, credential)
