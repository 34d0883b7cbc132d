"""Metaflow's rules: a namespace is a tag, and every user may change tags."""

from __future__ import annotations

from mfc.config import Config
from mfc.errors import MetaflowUnknownUser
from mfc.hookspecs import hookimpl
from mfc.model import Record


class TagNamespaces:
    """A run is in a namespace when the namespace is one of its tags.

    Args:
        config: settings, with the name of the user.

    Source:
        Metaflow 2.19, `util.resolve_identity` and `client.core`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def default(self) -> str:
        """Return `production:<token>` if a token is set, else `user:<name>`."""
        if token := self._config.environment.get("METAFLOW_PRODUCTION_TOKEN"):
            return f"production:{token}"
        if (user := self._config.user()) is None:
            raise MetaflowUnknownUser
        return f"user:{user}"

    def required(self, namespace: str) -> frozenset[str]:
        """Return the namespace itself, which is a tag."""
        return frozenset((namespace,))

    def sees(self, namespace: str, record: Record) -> bool:
        """Tell whether the namespace is among the tags."""
        return namespace in record.system_tags or namespace in record.tags

    def may_retag(self, namespace: str | None, record: Record) -> str | None:  # noqa: ARG002
        """Allow every user, as Metaflow does."""
        return None


@hookimpl(trylast=True)
def mfc_namespace_policy(config: Config) -> TagNamespaces:
    """Return Metaflow's rules."""
    return TagNamespaces(config)
