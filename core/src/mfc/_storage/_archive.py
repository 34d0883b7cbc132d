"""Code packages: the snapshot of the code that a run was made from.

A package is a gzip'd tar archive in one of two layouts, and the archive itself says which:

    v0  INFO, CONFIG, metaflow/…, metaflow_extensions/…        and the user's files
    v1  .mf_install, .mf_meta/INFO, .mf_meta/CONFIG, .mf_code/…  and the user's files

Archives are taken for hostile. Reading has bounds, and extraction makes plain files and
directories only, so the safety of what it writes does not hang on the filters of `tarfile`,
which early releases of Python 3.10 and 3.11 lack and later ones had to repair.

Source:
    Metaflow 2.19, package metadata version 0 (`metaflow/package`, `metaflow/packaging_sys`).
"""

from __future__ import annotations

import json
import os
import posixpath
import zlib
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import attrs

from mfc.errors import BadCodePackage

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

#: Most that a package may expand to, in bytes; Metaflow itself is 6 MB of it.
EXPANDED_LIMIT = 2**30

#: Most members that a package may have; Metaflow itself is 430 of them.
MEMBER_LIMIT = 100_000

_TOO_LARGE = f"expands to more than {EXPANDED_LIMIT:,} bytes"

# Longest name of a file, and longest path, that common filesystems take, in bytes.
_NAME_LIMIT, _PATH_LIMIT = 255, 4096

# What no file's name may hold here: on Windows these lead elsewhere.
_NO_FILE_HAS = frozenset("\\:") if os.name == "nt" else frozenset()

# Links that one member may go through before it counts as a circle.
_HOP_LIMIT = 8

_MARKER = ".mf_install"
_MANIFEST = "conda.manifest"
_INFO = {0: "INFO", 1: ".mf_meta/INFO"}

# First components of what Metaflow itself puts into a package. The files uv.lock and
# pyproject.toml of v0 are not among them: they are the user's own, as Metaflow added them.
_NOT_THE_USERS = {
    0: frozenset({"INFO", "CONFIG", "metaflow", "metaflow_extensions", _MANIFEST, "condav2-1.cnd"}),
    1: frozenset({_MARKER, ".mf_meta", ".mf_code"}),
}


@attrs.frozen
class CodePackage:
    """A code package that was found to be readable; `CodePackage.read` makes one."""

    #: URL or path that the package came from.
    location: str
    #: Layout of the archive, 0 or 1.
    content_version: int
    #: Source of the flow's file as Metaflow's client gives it: bytes, or None if the package
    #: does not have the file (it has an unusual suffix).
    flowspec: bytes | None = attrs.field(repr=False)
    _blob: bytes = attrs.field(repr=False)
    _info: bytes = attrs.field(repr=False)
    _files: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def read(cls, blob: bytes, location: str, metadata: str | None = None) -> CodePackage:
        """Return the package that `blob` is.

        Args:
            blob: the archive, as stored.
            location: where it came from; used in errors.
            metadata: JSON text recorded next to the location; None if there was none,
                which means a tgz.

        Raises:
            BadCodePackage: the archive or its metadata cannot be read, is of an unknown
                format, has no INFO, or is larger than `EXPANDED_LIMIT` or `MEMBER_LIMIT`.

        Source:
            Metaflow 2.19, where the archive decides on its version, not `metadata`.
        """
        _check_metadata(metadata, location)
        archive = _Archive.opened(blob, location)
        version = _content_version(archive)
        info = archive.content(_INFO[version])
        if info is None:
            raise BadCodePackage(location, f"it has no {_INFO[version]}")
        script = _object(info, _INFO[version], location).get("script")
        if not isinstance(script, str):
            raise BadCodePackage(location, f"{_INFO[version]} names no script")
        return cls(
            location=location,
            content_version=version,
            flowspec=archive.content(script),
            blob=blob,
            info=info,
            files=archive.files(),
        )

    @property
    def info(self) -> dict[str, Any]:
        """What Metaflow recorded about the user, versions and repository; a new dict."""
        return _object(self._info, _INFO[self.content_version], self.location)

    @property
    def script_name(self) -> str:
        """Name of the file that holds the flow."""
        name: str = self.info["script"]
        return name

    def tarball(self) -> tarfile.TarFile:
        """Return a new archive object on the package; its members may have any name."""
        import tarfile  # heavier than all else here, and seldom needed

        return tarfile.open(fileobj=BytesIO(self._blob), mode="r:gz")

    def manifest(self) -> bytes | None:
        """Return what the archive says of conda environments, None if it says nothing."""
        archive = _Archive.opened(self._blob, self.location)
        names = [name for name in archive.members if name.endswith(_MANIFEST)]
        return archive.content(names[0]) if names else None

    def user_files(self) -> list[str]:
        """Return the names of the user's own files in the package, in its order.

        Left out is what Metaflow adds: itself, its extensions, modules and records.
        """
        foreign = _NOT_THE_USERS[self.content_version]
        return [name for name in self._files if name.split("/", 1)[0] not in foreign]

    def extract(self, directory: Path | str, *, everything: bool = False) -> None:
        """Write the user's files below `directory`, which is made if missing.

        Files are written anew, with no link and no mode but executable or not. Of several
        members with one name the last counts. Directories without files are left out.

        Args:
            directory: where to write; existing files of the same names are replaced.
            everything: also write what is not the user's own.

        Raises:
            BadCodePackage: a member (also one that was not asked for) has an unsafe name, is
                no file, or links to what is not in the package. Nothing was written.
            OSError: the directory cannot be written.
        """
        from pathlib import Path  # heavier than all else here, and seldom needed

        archive = _Archive.opened(self._blob, self.location)
        root = Path(os.path.realpath(directory))
        sources = archive.sources()
        wanted = self._files if everything else self.user_files()
        _check_targets(wanted, root, self.location)
        for name in wanted:
            _write(root / name, archive.data_of(sources[name]), sources[name].mode)


@attrs.frozen
class _Archive:
    """The expanded tar archive: all of its bytes, and its members by name, the last of each."""

    location: str
    data: memoryview
    members: Mapping[str, tarfile.TarInfo]

    @classmethod
    def opened(cls, blob: bytes, location: str) -> _Archive:
        import tarfile  # heavier than all else here, and seldom needed

        members: dict[str, tarfile.TarInfo] = {}
        with _readable(location):
            data = _expanded(blob, location)
            with tarfile.open(fileobj=BytesIO(data), mode="r:") as archive:
                for count, member in enumerate(archive, start=1):
                    if count > MEMBER_LIMIT:
                        raise BadCodePackage(location, f"more than {MEMBER_LIMIT:,} members")
                    if not 0 <= member.size <= len(data) - member.offset_data:
                        raise BadCodePackage(location, f"member {member.name!r} has a wrong size")
                    members[member.name] = member
        return cls(location, memoryview(data), members)

    def files(self) -> tuple[str, ...]:
        """Return the names of all members that are or stand for a file, in order."""
        return tuple(
            name for name, member in self.members.items() if member.isreg() or _is_link(member)
        )

    def content(self, name: str) -> bytes | None:
        """Return what the file `name` holds, or None if there is none."""
        source = self._source(name)
        return None if source is None else bytes(self.data_of(source))

    def data_of(self, member: tarfile.TarInfo) -> memoryview:
        return self.data[member.offset_data : member.offset_data + member.size]

    def sources(self) -> dict[str, tarfile.TarInfo]:
        """Return for each file the member that holds its content.

        Raises:
            BadCodePackage: any member may not be written.
        """
        found: dict[str, tarfile.TarInfo] = {}
        for name, member in self.members.items():
            if fault := _fault(name):
                raise BadCodePackage(self.location, f"member {name!r} {fault}")
            if member.isdir():
                continue
            source = self._source(name)
            if source is None:
                reason = f"member {name!r} is not a file, nor a link to one in the package"
                raise BadCodePackage(self.location, reason)
            found[name] = source
        # Many links to one large file could fill the disk.
        if sum(member.size for member in found.values()) > EXPANDED_LIMIT:
            raise BadCodePackage(self.location, _TOO_LARGE)
        return found

    def _source(self, name: str) -> tarfile.TarInfo | None:
        """Return the regular file that `name` is, or links to within the archive."""
        for _ in range(_HOP_LIMIT):
            member = self.members.get(name)
            if member is None or not _is_link(member):
                # Metaflow writes no sparse files; theirs would need a reader of its own.
                return member if member and member.isreg() and not member.issparse() else None
            # A hard link names a member, a symbolic one a path from where it is.
            start = posixpath.dirname(name) if member.issym() else ""
            name = posixpath.normpath(posixpath.join(start, member.linkname))
        return None


@contextmanager
def _readable(location: str) -> Iterator[None]:
    """Turn whatever a broken archive makes the standard library raise into BadCodePackage."""
    import tarfile  # heavier than all else here, and seldom needed

    broken = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, LookupError)
    try:
        yield
    except (*broken, ArithmeticError, RecursionError, TypeError, AttributeError) as error:
        reason = f"not a readable .tgz archive ({type(error).__name__}: {error})"
        raise BadCodePackage(location, reason) from error


def _expanded(blob: bytes, location: str) -> bytes:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip's header and checksum
    data = stream.decompress(blob, EXPANDED_LIMIT + 1)
    if len(data) > EXPANDED_LIMIT:
        raise BadCodePackage(location, _TOO_LARGE)
    if not stream.eof or stream.unused_data:
        raise BadCodePackage(location, "cut short, or followed by other data")
    return data


def _check_metadata(metadata: str | None, location: str) -> None:
    if metadata is None:
        return
    facts = _object(metadata, "its metadata", location)
    version, archive_format = facts.get("version", 0), facts.get("archive_format", "tgz")
    if version != 0:
        raise BadCodePackage(location, f"metadata version {version!r}; only 0 is supported")
    if archive_format != "tgz":
        reason = f"archive format {archive_format!r}; only 'tgz' is supported"
        raise BadCodePackage(location, reason)


def _content_version(archive: _Archive) -> int:
    """Return the archive's layout; `mfcontent_version` of the metadata is not asked."""
    marker = archive.content(_MARKER)
    if not marker:
        return 0
    version = _object(marker, _MARKER, archive.location).get("version")
    if version != 1:
        reason = f"content version {version!r}; only 1, and 0 without {_MARKER}, are supported"
        raise BadCodePackage(archive.location, reason)
    return 1


def _object(text: str | bytes, what: str, location: str) -> dict[str, Any]:
    """Return the JSON object that `text` spells."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCodePackage(location, f"{what} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise BadCodePackage(location, f"{what} is not a JSON object")
    return value


def _is_link(member: tarfile.TarInfo) -> bool:
    return member.issym() or member.islnk()


def _fault(name: str) -> str | None:
    """Return why no file of this name may be written, or None if it may."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        return "would be written outside the directory"
    if not _NO_FILE_HAS.isdisjoint(name):
        return "has a name that cannot be a file's"
    if "" in parts or "." in parts or "\0" in name:
        return "has an unusual name"
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return "has a name that cannot be a file's"
    longest = max(map(len, encoded.split(b"/")))
    too_long = longest > _NAME_LIMIT or len(encoded) > _PATH_LIMIT
    return "has too long a name" if too_long else None


def _check_targets(names: Collection[str], root: Path, location: str) -> None:
    """Make sure that every directory to write in is a real one below `root`.

    The archive cannot bring links along, but `root` may hold some from before. Whoever
    changes `root` during the extraction is not held off.
    """
    files = set(names)
    for folder in {posixpath.dirname(name) for name in names}:
        above = folder
        while above:
            if above in files:
                raise BadCodePackage(location, f"member {above!r} is both file and directory")
            above = posixpath.dirname(above)
        if len(os.fsencode(root / folder)) > _PATH_LIMIT - _NAME_LIMIT:
            raise BadCodePackage(location, f"the path of {folder!r} is too long below {root}")
        if os.path.realpath(root / folder) != str(root / folder):
            reason = f"{folder!r} is a link in {root}, and might lead out of it"
            raise BadCodePackage(location, reason)


def _write(target: Path, content: memoryview, mode: int) -> None:
    """Make a new file; executable if its owner could execute it, else as the umask says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Removed and made anew: writing into what is there would go through links.
    target.unlink(missing_ok=True)
    allowed = 0o777 if mode & 0o100 else 0o666
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, allowed)) as file:
        file.write(content)
