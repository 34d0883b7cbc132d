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
    from mfc._facts._table import Table
    from mfc._plugins._discovery import PluginInfo


def metadata(ms: str | os.PathLike[str]) -> str:
    """Switch to another metadata provider; return its address.

    Existing objects keep their provider. The client is unchanged if this raises.

    Args:
        ms: an address: `local@/data`, the directory that holds `.metaflow`, a URL, or any address
            that an installed plugin understands.

    Raises:
        BadAddress: the address cannot be used; a ValueError.
        PluginNotFound: no plugin serves it.
    """
    if not isinstance(ms, os.PathLike) and not (isinstance(ms, str) and ms.strip()):
        raise BadAddress.of("ms", ms, "an address as text, such as 'local@/data', or a path")
    return current_client().use(ms)


def get_metadata() -> str:
    """Return the address of the metadata provider, such as `local@/data`."""
    return current_client().provider.address


def default_metadata() -> str:
    """Switch back to the configured metadata provider; return its address."""
    return current_client().use(None)


def namespace(ns: str | None) -> str | None:
    """Switch to namespace `ns`, such as `user:ada`; None makes all runs visible.

    Existing objects keep their namespace.
    """
    client = current_client()
    client.namespace = ns
    return client.namespace


def get_namespace() -> str | None:
    """Return the namespace; None if all runs are visible."""
    return current_client().namespace


def default_namespace() -> str | None:
    """Switch back to the default namespace: the production token's or the user's own.

    Raises:
        MetaflowUnknownUser: the user's name is unknown.
    """
    return current_client().reset_namespace()


def inspect_spin(datastore_root: str = ".") -> None:
    """Switch to the results of `spin` in the directory that holds `.metaflow_spin`.

    Raises:
        BadAddress: the directory has no such results.
    """
    metadata(f"spin@{path_of('datastore_root', datastore_root, 'the path of a directory')}")


def plugins() -> list[PluginInfo]:
    """Return all plugins of the current client, in use or not; loads them all.

    `python -m mfc plugins` shows the same.
    """
    return current_client().plugins.infos()


def unpickle(
    pickled: bytes | BinaryIO, trust: Literal["full", "safe", "none"] | Trust | None = None
) -> object:
    """Return the object in a pickle, with mfc's equivalents of Metaflow's own classes.

    Use it for pickles written where Metaflow is installed. Artifacts do not need it.

    Args:
        pickled: the bytes of a pickle, or a binary file that holds one.
        trust: the objects that may be built; by default the current client's trust.

    Raises:
        UntrustedValue: the trust does not allow it.
        UndecodableArtifact: the input is not a pickle, or is damaged.
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
    """Yield many values, in order, read concurrently while they are consumed.

    Prefetch is bounded by the settings, and stops when the consumer stops. Tasks of one step are
    found with a handful of calls, and equal blobs are read once.

    Args:
        tasks_or_artifacts: artifacts; or tasks, of any runs and flows. A step or a run stands for
            its tasks, newest first.
        names: artifacts of each task: one gives values, several give tuples.
        progress: None shows a bar on a terminal if tqdm is installed; True requires the bar, False
            turns it off; or a function called with the number of values done and the total (None
            if not known).
        errors: `raise` raises the error of a value at its position, and ends; `return` yields the
            exception in place of the value.

    Raises:
        BadArgument: an argument is invalid.
        MetaflowException: at the value's position, as `.data` of the artifact raises it.
    """
    from mfc._objects._loading import load as loaded  # values need it, listings do not

    return loaded(tasks_or_artifacts, names, progress, errors)


def table(
    items: Iterable[Any], *columns: str, errors: Literal["raise", "return"] = "raise"
) -> Table:
    """Return a table with a row for each run, step or task, read side by side.

    Attributes are those of the objects, but that times have a time zone (UTC), tags are sorted,
    and `status` is the word; `status_reason` says why. `duration` is from `created_at` to
    `finished_at`. All else:

    - `x` or `data.x`: an artifact of the task, of a run that of its end task, as `mfc.load` reads
      it. An artifact with the name of an attribute is `data.status`.
    - `param.x`: a parameter of the run.
    - `meta.x`: the newest value of a metadata field of the task, of a run that of its end task.

    A cell is None where there is no such artifact, parameter or field, and while a run has no end
    task. A column without a single value comes with a warning: its name may be misspelt.

    Where metadata is remote, the artifacts of a completed run, its end and its status cost two
    questions, its parameters one; a metadata field one more, and a run that did not complete what
    its `status` costs. Tasks of one step cost a handful of questions together, and one for the
    parameters of each run.

    Args:
        items: runs, steps or tasks, all of one kind. One `Flow` stands for its runs, one `Run` or
            `Step` for its tasks, newest first.
        columns: names, in this order; by default the pathspec and some attributes. Of all rows:
            `id, pathspec, flow, user, created_at, finished_at, tags, user_tags, system_tags`; of
            runs and tasks `status, status_reason, successful, finished, duration`; of steps
            `run`; of tasks `run, step, index, current_attempt`.
        errors: `raise` raises what is wrong with a cell; `return` puts the exception there.

    Raises:
        BadArgument: an argument is not of its kind, the items are of several kinds, or a name
            cannot be a column of theirs; a ValueError.
        MetaflowException: a cell cannot be read.
    """
    from mfc._objects._tabling import table as made  # few readers make one

    return made(items, columns, errors)
