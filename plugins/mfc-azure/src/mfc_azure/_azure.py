"""How containers of Azure Blob Storage are opened."""

from __future__ import annotations

import attrs

from mfc.config import Config
from mfc_azure._account import Account
from mfc_azure._credentials import credentials
from mfc_objectstore.failure import Failure
from mfc_objectstore.files import Bucket
from mfc_objectstore.machine import certificates


@attrs.frozen
class Azure:
    """Blob Storage, with the settings and credentials that Metaflow's users have for it.

    Source:
        Metaflow 2.19, `plugins.azure.blob_service_client_factory`.
    """

    config: Config
    ds_type = "azure"
    store = "AzureStore"

    def bucket(self, name: str) -> Bucket:  # noqa: ARG002 - all containers are opened alike
        """Return how to open a container."""
        account = Account.of(self.config)
        chosen = self.config.mapping("MFC_AZURE_OPTIONS")
        known = credentials(account, chosen, self.config.environment)
        place = {"account_name": account.name, "endpoint": account.endpoint}
        plain = {"allow_http": True} if account.endpoint.startswith("http://") else {}
        trusted = certificates(self.config.environment, "REQUESTS_CA_BUNDLE")
        return Bucket({**place, **known.options, **chosen}, {**plain, **trusted}, known.provider)

    def elsewhere(self, name: str, bucket: Bucket, failure: Failure) -> Bucket | None:  # noqa: ARG002
        """Return nothing: the endpoint says all of where a container is."""
        return None
