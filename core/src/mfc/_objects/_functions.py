"""The functions of the Client API; they act on the current client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mfc._arguments import path_of
from mfc._objects._current import current_client
from mfc._session._reader import know_objects
from mfc.errors import BadAddress, BadArgument
from mfc.trust import Trust

if TYPE_CHECKING:
    from mfc._plugins._discovery import PluginInfo


def metadata(ms: str | os.PathLike[str]) -> str:
    """Read from another metadata provider from now on; return its address.

    Objects made before keep theirs. If this raises, nothing has changed.

    Args:
        ms: an address: `local@/data`, the directory that holds `.metaflow`, a URL, or anything
            that an installed plugin understands.

    Raises:
        BadAddress: it leads nowhere; a ValueError.
        PluginNotFound: no plugin serves it.
    """
    if not isinstance(ms, os.PathLike) and not (isinstance(ms, str) and ms.strip()):
        raise BadAddress.of("ms", ms, "an address as text, such as 'local@/data', or a path")
    return current_client().use(ms)


def get_metadata() -> str:
    """Return the address of the metadata provider, such as `local@/data`."""
    return current_client().provider.address


def default_metadata() -> str:
    """Return to the metadata provider of the configuration; return its address."""
    return current_client().use(None)


def namespace(ns: str | None) -> str | None:
    """See only runs in namespace `ns` from now on, such as `user:ada`; None for all runs.

    Objects made before keep theirs.
    """
    client = current_client()
    client.namespace = ns
    return client.namespace


def get_namespace() -> str | None:
    """Return the namespace; None if all runs are seen."""
    return current_client().namespace


def default_namespace() -> str | None:
    """Return to the default namespace: the production token's or the user's own.

    Raises:
        MetaflowUnknownUser: nothing tells who the user is.
    """
    return current_client().reset_namespace()


def inspect_spin(datastore_root: str = ".") -> None:
    """Read the results of `spin` in the directory that holds `.metaflow_spin` from now on.

    Raises:
        BadAddress: there are none.
    """
    metadata(f"spin@{path_of('datastore_root', datastore_root, 'the path of a directory')}")


def plugins() -> list[PluginInfo]:
    """Return all plugins that the current client has, in use or not; loads them all.

    `python -m mfc plugins` shows the same.
    """
    return current_client().plugins.infos()


def unpickle(
    pickled: bytes | BinaryIO, trust: Literal["full", "safe", "none"] | Trust | None = None
) -> object:
    """Return what a pickle holds, Metaflow's own classes as their equivalents here.

    For pickles that were written where Metaflow is installed; artifacts need no such call.

    Args:
        pickled: the bytes of a pickle, or a binary file that holds one.
        trust: what may be built; by default as the current client.

    Raises:
        UntrustedValue: the trust does not allow it.
        UndecodableArtifact: it is no pickle, or it is damaged.
    """
    from mfc._pickle import loads  # values need it, listings do not

    know_objects()
    client = current_client()
    chosen = client.trust if trust is None else Trust.of(trust)
    blob = pickled.read() if hasattr(pickled, "read") else pickled
    if not isinstance(blob, (bytes, bytearray)):
        raise BadArgument.of("pickled", pickled, "the bytes of a pickle, or a binary file")
    with client:
        return loads(bytes(blob), chosen, subject="pickle")


def load(
    tasks_or_artifacts: Iterable[Any],
    *names: str,
    progress: bool | Callable[[int, int | None], object] | None = None,
    errors: Literal["raise", "return"] = "raise",
) -> Iterator[Any]:
    """Yield many values, in order, read side by side while they are consumed.

    Reading is bounded: only so much is read ahead as the settings allow, whatever is asked for, and
    it stops when the consumer does. Tasks of one step are found with a handful of questions, and
    equal blobs are read once.

    Args:
        tasks_or_artifacts: artifacts; or tasks, of any runs and flows. A step or a run stands for
            its tasks, newest first.
        names: artifacts of each task: one gives values, several give tuples.
        progress: None shows a bar on a terminal if tqdm is installed; True wants it, False does
            not; or a function that is told how many are done, and of how many (None: not known).
        errors: `raise` raises what is wrong with a value in its turn, and ends; `return` gives
            the exception in place of the value.

    Raises:
        BadArgument: an argument is not of its kind.
        MetaflowException: in its turn, as `.data` of the artifact raises it.
    """
    from mfc._objects._loading import load as loaded  # values need it, listings do not

    return loaded(tasks_or_artifacts, names, progress, errors)
