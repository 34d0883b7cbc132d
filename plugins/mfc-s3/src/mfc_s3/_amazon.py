"""How buckets of S3 are opened, wherever they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from mfc.config import Config
from mfc_objectstore.files import Bucket
from mfc_s3._credentials import Credentials, credentials
from mfc_s3._settings import Settings

if TYPE_CHECKING:
    from mfc_objectstore.failure import Failure

#: Where a bucket is if nothing says.
_USUAL = "us-east-1"
_REGION = re.compile(r"<Region>([\w-]+)</Region>")
#: What a bucket in another region answers; a HEAD gets the status alone.
_MOVED, _BAD_REQUEST = 301, 400
_CODES = ("PermanentRedirect", "AuthorizationHeaderMalformed", "")
#: Seconds to ask where a bucket is.
_ASKING = 10


@attrs.frozen
class Amazon:
    """S3, with the settings and credentials that Metaflow's users have for it."""

    config: Config
    ds_type = "s3"
    store = "S3Store"

    def bucket(self, name: str) -> Bucket:
        """Return how to open a bucket."""
        settings = Settings.of(self.config)
        known = Credentials() if settings.anonymous else credentials(settings.keys, self.config)
        options = settings.options(name, settings.region or known.region or _USUAL)
        return Bucket({**known.options, **options}, settings.client, known.provider)

    def elsewhere(self, name: str, bucket: Bucket, failure: Failure) -> Bucket | None:
        """Return how to open a bucket that turned out to be in another region."""
        wrong = failure.status in (_MOVED, _BAD_REQUEST) or "without LOCATION" in failure.text
        if not wrong or failure.code not in _CODES:
            return None
        said = _REGION.search(failure.text)
        region = said.group(1) if said else _asked(name, bucket)
        if region is None:
            return None
        options = Settings.of(self.config).options(name, region)
        return attrs.evolve(bucket, options={**bucket.options, **options})


def _asked(name: str, bucket: Bucket) -> str | None:
    """Return the region that a bucket's own answer names; nobody needs permission to ask.

    Source:
        Amazon S3, HeadBucket: the header is there whether access is allowed or not.
    """
    import http.client  # only buckets in another region need these
    from urllib.parse import urlsplit

    endpoint = (
        bucket.options.get("endpoint") or f"https://s3.{bucket.options['region']}.amazonaws.com"
    )
    parts = urlsplit(endpoint)
    kind = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
    connection = kind(parts.netloc, timeout=_ASKING)
    try:
        connection.request("HEAD", f"{parts.path.rstrip('/')}/{name}")
        return connection.getresponse().headers["x-amz-bucket-region"]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
