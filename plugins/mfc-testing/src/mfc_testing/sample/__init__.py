"""Results that Metaflow recorded, with the answers of Metaflow's own client.

Five runs of two small flows, with foreaches, joins, retries, a caught exception, a failure, an
included file, parameters, tags and logs; `tests/sample` in the repository has the flows, and says
how they were recorded. `answers.json` was written by the client of the same Metaflow on the same
results. To look at them: `python -m mfc_testing.sample DIRECTORY`.
"""

from __future__ import annotations

import functools
import json
import os
import tarfile
from collections.abc import Mapping
from typing import Any

from mfc import Client, hookspecs
from mfc.hookspecs import Filesystem
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing.history import History
from mfc_testing.memory import MemoryProvider
from mfc_testing.sample._questions import answers as _answers_of

_HERE = os.path.dirname(__file__)
#: The tree that Metaflow left, `.metaflow/…`, packed.
ARCHIVE = os.path.join(_HERE, "sample.tgz")
#: Metaflow's answers, by kind of query and query.
ANSWERS = os.path.join(_HERE, "answers.json")
#: The datastore type of the sample's values; no plugin serves it.
DS_TYPE = "mfc-sample"
_META = "_meta"


@functools.cache
def _files() -> Mapping[str, bytes]:
    """Return the content of every file by its path below `.metaflow`."""
    found = {}
    with tarfile.open(ARCHIVE) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                found[member.name.removeprefix(".metaflow/")] = file.read()
    return found


def unpack(directory: str) -> None:
    """Put the sample into a directory, as `.metaflow`."""
    for name, content in _files().items():
        path = os.path.join(directory, ".metaflow", *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def datastore() -> dict[str, bytes]:
    """Return the files of the datastore by their path below its root: values, logs, notes."""
    return {
        name: content
        for name, content in _files().items()
        if f"/{_META}/" not in name and not name.endswith("latest_run")
    }


def history(ds_type: str, root: str) -> History:
    """Return the records with another datastore type and root."""
    records, artifacts, metadata = [], [], []
    for name, content in _files().items():
        directory, mark, file = name.rpartition(f"/{_META}/")
        if not mark:
            continue
        path, fields = Pathspec(tuple(directory.split("/"))), json.loads(content)
        if file == "_self.json":
            records.append(Record.of_json(path, fields))
        elif file.startswith("sysmeta_"):
            moved = {"ds-type": ds_type, "ds-root": root}.get(fields["field_name"])
            fields["value"] = fields["value"] if moved is None else moved
            metadata.append(MetadataRecord.of_json(path, fields))
        else:
            fields |= {"ds_type": ds_type, "location": f":root:{root}"}
            artifacts.append(ArtifactRecord.of_json(path.child(fields["name"]), fields))
    return History(records, artifacts, metadata)


def client(root: str, filesystem: Filesystem) -> Client:
    """Return a client that reads the sample, its values and logs through a filesystem.

    Args:
        root: the root of the files of `datastore()`, in the filesystem's form.
        filesystem: filesystem to read through.
    """

    class Plugin:
        @staticmethod
        @hookspecs.hookimpl
        def mfc_filesystem(ds_type: str) -> Filesystem | None:
            return filesystem if ds_type == DS_TYPE else None

    recorded = history(DS_TYPE, root)
    provider = MemoryProvider(recorded.records, recorded.artifacts, recorded.metadata)
    # Cached values of another filesystem would answer for this one.
    return Client(provider, namespace=None, plugins=[Plugin], config={"MFC_CACHE": "0"})


def asked(client: Client, kind: str) -> dict[str, Any]:
    """Return a client's answers to all queries of one kind: `object`, `data` or `log`."""
    import mfc  # its functions are Metaflow's, and use the current client

    with client:
        return _answers_of(mfc, kind)


def answers(kind: str) -> dict[str, Any]:
    """Return Metaflow's answers to all queries of one kind."""
    with open(ANSWERS, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)["answers"][kind]
    return found
