"""How buckets of Google Cloud Storage are opened."""

from __future__ import annotations

import attrs

from mfc.config import Config
from mfc_gcs._credentials import Credentials, credentials
from mfc_objectstore.failure import Failure
from mfc_objectstore.files import Bucket
from mfc_objectstore.machine import certificates


@attrs.frozen
class Google:
    """Cloud Storage, with the settings and credentials that Metaflow's users have for it.

    Source:
        Metaflow 2.19, `plugins.gcp.gs_storage_client_factory`: `google.auth.default` finds them.
    """

    config: Config
    ds_type = "gs"
    store = "GCSStore"

    def bucket(self, name: str) -> Bucket:  # noqa: ARG002 - all buckets are opened alike
        """Return how to open a bucket."""
        environment = self.config.environment
        chosen = self.config.mapping("MFC_GS_OPTIONS")
        trusted = certificates(environment, "REQUESTS_CA_BUNDLE")
        endpoint = chosen.get("base_url") or environment.get("STORAGE_EMULATOR_HOST")
        if endpoint:
            url = endpoint if "://" in endpoint else f"http://{endpoint}"
            plain = {"allow_http": True} if url.startswith("http://") else {}
            # Google's libraries send no credentials to an emulator either.
            options = {"skip_signature": True, **chosen, "base_url": url.rstrip("/")}
            return Bucket(options, {**plain, **trusted})
        given = any(map(chosen.__contains__, _GIVEN))
        known = Credentials() if given else credentials(environment)
        return Bucket({**known.options, **chosen}, trusted, known.provider)

    def elsewhere(self, name: str, bucket: Bucket, failure: Failure) -> Bucket | None:  # noqa: ARG002
        """Return nothing: a bucket's name says all of where it is."""
        return None


#: Options of obstore that say who reads.
_GIVEN = ("skip_signature", "service_account", "service_account_key", "bearer_token")
