"""The pickled state of an object: Metaflow's own layout, and the client's trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfc._objects._current import current_client
from mfc._session._reader import Reader
from mfc._session._scope import Scope
from mfc.errors import BadAddress, MetaflowInternalError, PluginError, warn
from mfc.model import Level
from mfc.trust import Trust

if TYPE_CHECKING:
    from mfc.hookspecs import MetadataProvider

#: Metaflow's version mark of the newest layout of a pickled object, which is written here.
_VERSION = "2.12.27"
#: Fields in the record of objects of Metaflow 2.0 to 2.5, which do not keep a pathspec.
_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")


def object_state(scope: Scope, pathspec: str, attempt: int | None) -> dict[str, Any]:
    """Return the state of an object, which Metaflow's client can also read."""
    checked = scope.checked and scope.namespace is not None
    data = [pathspec, attempt, scope.provider.address, scope.namespace, checked]
    return {"version": _VERSION, "data": data, **trust_state(scope)}


def trust_state(scope: Scope) -> dict[str, Any]:
    """Return the trust for a pickle; empty at full trust."""
    trust = scope.reader.trust
    return {} if trust.level == "full" else {"trust": [trust.level, sorted(trust.allow)]}


def reader_for(state: dict[str, Any]) -> Reader:
    """Return the current client, its trust limited to that of the pickled object."""
    client = current_client()
    noted = state.get("trust")
    if noted is None:
        return client
    level, allow = noted
    return client.within(Trust.safe(allow) if level == "safe" else Trust.of(level))


def provider_for(reader: Reader, address: str | None) -> MetadataProvider:
    """Return the provider that an object came from, without changing the client's own.

    Where results have moved, the recorded address fails, and the client's own provider is used.
    """
    own = reader.provider
    if address is None or address == own.address:
        return own
    try:
        return reader.provider_at(address)
    except BadAddress as gone:
        kind = address.partition("@")[0]
        if isinstance(gone, PluginError) or kind != own.address.partition("@")[0]:
            raise
        warn(f"An object of {address} is looked for in {own.address}: {gone}")
        return own


def unpacked(state: dict[str, Any], level: Level) -> tuple[Any, Any, Any, Any, Any]:
    """Return pathspec, attempt, metadata address, namespace and check from any of five layouts.

    Args:
        state: the pickled state.
        level: level of the object.

    Raises:
        MetaflowInternalError: the layout is newer than this client, or damaged.

    Source:
        Metaflow 2.19, `MetaflowObject.__setstate__`.
    """
    if "version" not in state or "data" not in state:  # before 2.8.4: the instance's attributes
        return (
            state.get("_pathspec") or _noted_path(state.get("_object"), level),
            state.get("_attempt"),
            None,
            None,
            state.get("_namespace_check", False),
        )
    version, data = state["version"], list(state["data"])
    if version == "2.8.4" and len(data) == 3:  # noqa: PLR2004 - the layout's own length
        return data[0], data[1], None, None, data[2]
    if version == "2.12.4" and len(data) == 4:  # noqa: PLR2004
        return data[0], data[1], None, data[2], data[3]
    if version == _VERSION and len(data) == 5:  # noqa: PLR2004
        return data[0], data[1], data[2], data[3], data[4]
    raise MetaflowInternalError(
        f"Unpickling this object needs a client that knows layout {version!r}; upgrade mfc-core"
    )


def _noted_path(record: object, level: Level) -> str | None:
    names = [record.get(name) for name in _NAMES[:level]] if isinstance(record, dict) else [None]
    return None if None in names else "/".join(map(str, names))
