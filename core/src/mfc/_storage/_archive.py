"""Code packages: the snapshot of the code of a run.

A package is a gzip'd tar archive in one of two layouts; the archive itself tells which:

    v0  INFO, CONFIG, metaflow/…, metaflow_extensions/…        and the user's files
    v1  .mf_install, .mf_meta/INFO, .mf_meta/CONFIG, .mf_code/…  and the user's files

Archives are treated as hostile. Reading has bounds, and extraction makes only plain files and
directories, so its safety does not depend on the filters of `tarfile`, which early releases of
Python 3.10 and 3.11 lack and later ones had to repair.

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

#: Limit of an expanded package, in bytes; Metaflow itself takes 6 MB.
EXPANDED_LIMIT = 2**30

#: Limit of members of a package; Metaflow itself has 430.
MEMBER_LIMIT = 100_000

_TOO_LARGE = f"expands to more than {EXPANDED_LIMIT:,} bytes"

# Longest name of a file, and longest path, that common filesystems take, in bytes.
_NAME_LIMIT, _PATH_LIMIT = 255, 4096

# Characters forbidden in file names: on Windows they lead to another place.
_NO_FILE_HAS = frozenset("\\:") if os.name == "nt" else frozenset()

# Limit of links in a chain; a longer chain counts as a circle.
_HOP_LIMIT = 8

_MARKER = ".mf_install"
_MANIFEST = "conda.manifest"
_INFO = {0: "INFO", 1: ".mf_meta/INFO"}

# First components of the files that Metaflow itself puts into a package. uv.lock and
# pyproject.toml of v0 are missing: they are the user's own files, which Metaflow added.
_NOT_THE_USERS = {
    0: frozenset({"INFO", "CONFIG", "metaflow", "metaflow_extensions", _MANIFEST, "condav2-1.cnd"}),
    1: frozenset({_MARKER, ".mf_meta", ".mf_code"}),
}


@attrs.frozen
class CodePackage:
    """A readable code package; made by `CodePackage.read`."""

    #: URL or path that the package came from.
    location: str
    #: Layout of the archive, 0 or 1.
    content_version: int
    #: Source of the flow's file, as in Metaflow's client: bytes, or None if the package lacks
    #: the file (it has an unusual suffix).
    flowspec: bytes | None = attrs.field(repr=False)
    _blob: bytes = attrs.field(repr=False)
    _info: bytes = attrs.field(repr=False)
    _files: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def read(cls, blob: bytes, location: str, metadata: str | None = None) -> CodePackage:
        """Return the package in `blob`.

        Args:
            blob: the archive, as stored.
            location: where it came from; used in errors.
            metadata: JSON text recorded next to the location; None means a tgz.

        Raises:
            BadCodePackage: the archive or its metadata cannot be read, is of an unknown
                format, has no INFO, or is larger than `EXPANDED_LIMIT` or `MEMBER_LIMIT`.

        Source:
            Metaflow 2.19, where the archive itself decides the version, not `metadata`.
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
        """Metaflow's record of the user, versions and repository; a new dict."""
        return _object(self._info, _INFO[self.content_version], self.location)

    @property
    def script_name(self) -> str:
        """Name of the file that holds the flow."""
        name: str = self.info["script"]
        return name

    def tarball(self) -> tarfile.TarFile:
        """Return a new archive object for the package; its members may have any name."""
        import tarfile  # slow to import, and seldom needed

        return tarfile.open(fileobj=BytesIO(self._blob), mode="r:gz")

    def manifest(self) -> bytes | None:
        """Return the archive's manifest of conda environments, or None without one."""
        archive = _Archive.opened(self._blob, self.location)
        names = [name for name in archive.members if name.endswith(_MANIFEST)]
        return archive.content(names[0]) if names else None

    def user_files(self) -> list[str]:
        """Return the names of the user's own files in the package, in its order.

        Metaflow's own files are left out: itself, its extensions, modules and records.
        """
        foreign = _NOT_THE_USERS[self.content_version]
        return [name for name in self._files if name.split("/", 1)[0] not in foreign]

    def extract(self, directory: Path | str, *, everything: bool = False) -> None:
        """Write the user's files below `directory`, which is made if missing.

        All files are new and plain: links are replaced by content, and of the mode only the
        executable bit is kept. Of several members with one name the last counts. Empty
        directories are left out.

        Args:
            directory: where to write; existing files of the same names are replaced.
            everything: also write files that are not the user's own.

        Raises:
            BadCodePackage: a member, selected or not, has an unsafe name, is not a file, or
                links outside the package. The directory is untouched.
            OSError: the directory cannot be written.
        """
        from pathlib import Path  # slow to import, and seldom needed

        archive = _Archive.opened(self._blob, self.location)
        root = Path(os.path.realpath(directory))
        sources = archive.sources()
        wanted = self._files if everything else self.user_files()
        _check_targets(wanted, root, self.location)
        for name in wanted:
            _write(root / name, archive.data_of(sources[name]), sources[name].mode)


@attrs.frozen
class _Archive:
    """The expanded tar archive: its bytes, and the last member of each name."""

    location: str
    data: memoryview
    members: Mapping[str, tarfile.TarInfo]

    @classmethod
    def opened(cls, blob: bytes, location: str) -> _Archive:
        import tarfile  # slow to import, and seldom needed

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
        """Return the names of all members that are files or links, in order."""
        return tuple(
            name for name, member in self.members.items() if member.isreg() or _is_link(member)
        )

    def content(self, name: str) -> bytes | None:
        """Return the content of file `name`, or None if it does not exist."""
        source = self._source(name)
        return None if source is None else bytes(self.data_of(source))

    def data_of(self, member: tarfile.TarInfo) -> memoryview:
        return self.data[member.offset_data : member.offset_data + member.size]

    def sources(self) -> dict[str, tarfile.TarInfo]:
        """Return the member that holds the content of each file.

        Raises:
            BadCodePackage: a member must not be written.
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
        # Many links to a large file could fill the disk.
        if sum(member.size for member in found.values()) > EXPANDED_LIMIT:
            raise BadCodePackage(self.location, _TOO_LARGE)
        return found

    def _source(self, name: str) -> tarfile.TarInfo | None:
        """Return the regular file called `name`, or the one that its links lead to."""
        for _ in range(_HOP_LIMIT):
            member = self.members.get(name)
            if member is None or not _is_link(member):
                # Metaflow never writes sparse files, which would need a reader of their own.
                return member if member and member.isreg() and not member.issparse() else None
            # A hard link names a member, a symbolic link a path relative to its own directory.
            start = posixpath.dirname(name) if member.issym() else ""
            name = posixpath.normpath(posixpath.join(start, member.linkname))
        return None


@contextmanager
def _readable(location: str) -> Iterator[None]:
    """Turn the standard library's exceptions for broken archives into BadCodePackage."""
    import tarfile  # slow to import, and seldom needed

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
    """Return the archive's layout, without regard to `mfcontent_version` of the metadata."""
    marker = archive.content(_MARKER)
    if not marker:
        return 0
    version = _object(marker, _MARKER, archive.location).get("version")
    if version != 1:
        reason = f"content version {version!r}; only 1, and 0 without {_MARKER}, are supported"
        raise BadCodePackage(archive.location, reason)
    return 1


def _object(text: str | bytes, what: str, location: str) -> dict[str, Any]:
    """Return the JSON object in `text`."""
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
    """Return why a file of this name must not be written; None if it may."""
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
    """Check that every target directory is a real one below `root`.

    The archive cannot create links, but `root` may already hold some. Concurrent changes of
    `root` during the extraction are not detected.
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
    """Make a new file; executable if its owner could execute it; other bits follow the umask."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # An existing file is removed first: writing into it would follow links.
    target.unlink(missing_ok=True)
    allowed = 0o777 if mode & 0o100 else 0o666
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, allowed)) as file:
        file.write(content)
