"""MetaflowCode: the code of a run."""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from mfc._arguments import text
from mfc._objects._current import current_client
from mfc._recorded._metadata import CODE, ORIGIN_TASK
from mfc._session._scope import Scope
from mfc._storage._place import place, root_in
from mfc.errors import BadCodePackage, visible
from mfc.model import Pathspec

if TYPE_CHECKING:
    from tarfile import TarFile
    from tempfile import TemporaryDirectory


class MetaflowCode:
    """The code package of a run or task; the constructor reads it.

    Args:
        flow_name: the flow that it belongs to.
        code_package: value of metadata field `code-package`: a JSON object.

    Raises:
        BadCodePackage: the field or the package differs from Metaflow's format.
        DatastoreError: the package cannot be read.
    """

    def __init__(self, flow_name: str, code_package: str, *, scope: Scope | None = None) -> None:
        # few programs look at code packages
        from mfc._storage._archive import CodePackage

        text("flow_name", flow_name, "the name of a flow")
        scope = scope or Scope.now(current_client())
        noted = _noted(code_package)
        self._flow, self._noted = flow_name, code_package
        self._path: str = noted["location"]
        ds_type: str = noted["ds_type"]
        subject = f"Code package of {flow_name}"
        root = root_in(self._path, flow_name, subject)
        roots = scope.roots(ds_type)
        where = scope.reader.bound_to_roots(place(ds_type, root, flow_name, roots), roots, subject)
        blob = scope.reader.datastore.blob(where, noted["sha"], subject, packed=False)
        self._package = CodePackage.read(blob, self._path, noted.get("metadata") or None)
        self._tarball: TarFile | None = None

    @property
    def path(self) -> str:
        """Location of the package in its datastore."""
        return self._path

    @property
    def info(self) -> dict[str, Any]:
        """Metaflow's notes on the package: user, versions, script and more."""
        return self._package.info

    @property
    def flowspec(self) -> bytes | None:
        """The source of the file that defines the flow: bytes, as in Metaflow.

        None if the package lacks it, as for a file with an unusual suffix.
        """
        return self._package.flowspec

    @property
    def script_name(self) -> str:
        """The name of the file that defines the flow."""
        return self._package.script_name

    @property
    def tarball(self) -> TarFile:
        """The whole package, opened for reading."""
        if self._tarball is None:
            self._tarball = self._package.tarball()
        return self._tarball

    def extract(self) -> TemporaryDirectory[str]:
        """Return a temporary directory with the user's own code.

        Members of the archive cannot leave the directory. It is removed together with the returned
        object, or by its `cleanup()`. The object is also a context manager.

        Raises:
            BadCodePackage: a member tries to leave the directory, or the archive is damaged.
        """
        from tempfile import TemporaryDirectory  # only extraction needs it

        directory = TemporaryDirectory()
        try:
            self._package.extract(directory.name)
        except BaseException:
            directory.cleanup()
            raise
        return directory

    def __reduce__(self) -> Any:
        # A reference: the unpickling process reads the package again, with its own client.
        return type(self), (self._flow, self._noted)

    def __repr__(self) -> str:
        return f"<MetaflowCode: {visible(self.script_name)}>"


def _noted(code_package: str) -> dict[str, Any]:
    import json  # few runs have a package

    text("code_package", code_package, "the value of metadata field 'code-package'")
    try:
        noted = json.loads(code_package)
        texts = (noted["location"], noted["ds_type"], noted["sha"], noted.get("metadata") or "")
        if all(isinstance(text, str) for text in texts):
            return dict(noted)
    except (ValueError, KeyError, TypeError, RecursionError):
        noted = None
    raise BadCodePackage(reprlib.repr(code_package), "expected JSON with location, ds_type and sha")


class _Unclear(Enum):
    """The answer where the metadata of a run is ambiguous or too much to read."""

    UNCLEAR = "unclear"


UNCLEAR: Final = _Unclear.UNCLEAR
#: Limit of a run's records that are read; at this number the answer is `UNCLEAR`.
_FEW = 200


def noted_package(scope: Scope, run: Pathspec) -> str | _Unclear | None:
    """Return field `code-package` of a run's tasks, from one call for the whole run.

    None without such a field; `UNCLEAR` where each task needs its own call: the tasks have several
    packages or are clones, or the run has many tasks.
    """
    found = list(itertools.islice(scope.provider.metadata(run, (CODE, ORIGIN_TASK)), _FEW))
    packages = {record.value for record in found if record.name == CODE}
    cloned = any(record.name == ORIGIN_TASK for record in found)
    if len(found) == _FEW or cloned or len(packages) > 1:
        return UNCLEAR
    return next(iter(packages), None)


def environment_of(code: MetaflowCode, metadata: Mapping[str, Any]) -> Any:
    """Return the recorded environment of a task.

    Source:
        Metaflow 2.19, `get_client_info` of its environments.
    """
    kind = code.info.get("environment_type")
    if not kind:
        return None
    if kind not in ("conda", "pypi"):
        return "Local environment"
    prefix = str(metadata.get("conda_env_prefix") or "").split("/")
    if len(prefix) < 3:  # noqa: PLR2004 - …/<environment>/<platform>
        return {}
    import json  # few tasks ran in such an environment

    try:
        manifest = json.loads(code._package.manifest() or b"{}")
        return manifest[prefix[2]][prefix[1]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
