"""Code packages of both layouts are read, and are never extracted outside the directory."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from mfc._storage import _archive
from mfc._storage._archive import CodePackage
from mfc.errors import BadCodePackage

if TYPE_CHECKING:
    from pathlib import Path

LOCATION = "s3://bucket/flows/Tiny/data/c8/c8adf61e"
SOURCE = b"from metaflow import FlowSpec\n"

#: INFO of a run by Metaflow 2.19.39 with METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE=1.
INFO = {
    "platform": "Linux",
    "username": "me",
    "runtime": "dev",
    "environment_type": "local",
    "use_r": False,
    "python_version": "3.11.7 (main, May  9 2026, 07:35:25) [GCC 12.2.0]",
    "python_version_code": "3.11.7",
    "metaflow_version": "2.19.39",
    "script": "tiny.py",
    "ext_info": [{}, {}],
}
#: Metadata of the same run beside the location of its package.
METADATA = '{"version": 0, "archive_format": "tgz", "mfcontent_version": 1}'
USERS = {"tiny.py": SOURCE, "metaflow_notes/n.py": b"notes\n", "sub/lib.py": b"X=1\n"}

#: The layout of that package, member for member, but with one file of the 424 in `.mf_code`.
V1 = {
    ".mf_code/metaflow/__init__.py": b"# Metaflow itself\n",
    ".mf_meta/INFO": json.dumps(INFO).encode(),
    ".mf_meta/CONFIG": b"{}",
    ".mf_meta/DIST_INFO": b"{}",
    ".mf_install": b'{"version": 1, "module_files": []}',
    **USERS,
}
#: The older layout, from the table of known names in `metaflow/packaging_sys/__init__.py`
#: (Metaflow 2.19.39 reads this layout, but cannot write it).
V0 = {
    "metaflow/__init__.py": b"# Metaflow itself\n",
    "metaflow_extensions/org/__init__.py": b"",
    "INFO": json.dumps(INFO).encode(),
    "CONFIG": b"{}",
    "conda.manifest": b"{}",
    "condav2-1.cnd": b"{}",
    **USERS,
}


def packed(members: list[tarfile.TarInfo | tuple[str, bytes]]) -> bytes:
    """Return a tgz of the members, in this order, duplicates and all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=3) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def package(
    *extra: tarfile.TarInfo | tuple[str, bytes], layout: dict[str, bytes] = V1
) -> CodePackage:
    return CodePackage.read(packed([*layout.items(), *extra]), LOCATION, METADATA)


def written(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if not path.is_dir()
    }


@pytest.mark.parametrize(("layout", "version"), [(V0, 0), (V1, 1)], ids=["v0", "v1"])
@pytest.mark.parametrize("metadata", [METADATA, None, "{}"])
def test_the_archive_decides_on_its_layout(
    layout: dict[str, bytes], version: int, metadata: str | None
) -> None:
    code = CodePackage.read(packed([*layout.items()]), LOCATION, metadata)
    assert code.content_version == version
    assert code.location == LOCATION
    assert code.info == INFO
    assert code.script_name == "tiny.py"
    assert code.flowspec == SOURCE
    assert code.user_files() == ["tiny.py", "metaflow_notes/n.py", "sub/lib.py"]


@pytest.mark.parametrize("layout", [V0, V1], ids=["v0", "v1"])
def test_extract_writes_the_users_files_only(layout: dict[str, bytes], tmp_path: Path) -> None:
    package(layout=layout).extract(tmp_path / "new" / "directory")
    assert written(tmp_path / "new" / "directory") == USERS


@pytest.mark.parametrize("layout", [V0, V1], ids=["v0", "v1"])
def test_extract_everything(layout: dict[str, bytes], tmp_path: Path) -> None:
    package(layout=layout).extract(str(tmp_path), everything=True)
    assert written(tmp_path) == layout


def test_project_files_that_uv_needs_are_the_users_in_v0() -> None:
    extra = [("uv.lock", b""), ("pyproject.toml", b"")]
    assert package(*extra, layout=V0).user_files()[-2:] == ["uv.lock", "pyproject.toml"]


def test_info_is_a_new_dict_each_time() -> None:
    code = package()
    code.info["ext_info"].append("changed")
    assert code.info == INFO


def test_the_same_package_is_equal_and_hashes_alike() -> None:
    assert package() == package()
    assert hash(package()) == hash(package())
    assert package() != package(layout=V0)


def test_repr_is_short() -> None:
    assert repr(package()) == f"CodePackage(location='{LOCATION}', content_version=1)"


def test_tarballs_are_independent() -> None:
    code = package()
    with code.tarball() as first:
        pass
    second, third = code.tarball(), code.tarball()
    assert second.getnames() == third.getnames() == list(V1)
    with pytest.raises(OSError, match="closed"):
        first.getnames()


def test_an_unpackaged_flow_file_is_none() -> None:
    """As in Metaflow: a script without the suffix .py runs, but is not packaged."""
    layout = {name: content for name, content in V1.items() if name != "tiny.py"}
    assert package(layout=layout).flowspec is None


def test_of_several_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    code = package(("tiny.py", b"second"), ("tiny.py", b"third"))
    assert code.flowspec == b"third"
    code.extract(tmp_path)
    assert (tmp_path / "tiny.py").read_bytes() == b"third"


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "cut short"),
        (b"no archive", "not a readable .tgz"),
        (packed([])[:-4], "cut short"),
        (packed([*V1.items()])[:300], "cut short"),
        (packed([*V1.items()]) + b"more", "followed by other data"),
        (gzip.compress(b"no tar" * 200), "not a readable .tgz"),
        (gzip.compress(b""), "not a readable .tgz"),
        (packed([("tiny.py", b"")]), "it has no INFO"),
        (packed([("INFO", b"{")]), "INFO is not JSON"),
        (packed([("INFO", b"[" * 100_000)]), "INFO is not JSON"),
        (packed([("INFO", b"\xff\xfe\xfd")]), "INFO is not JSON"),
        (packed([("INFO", b"[]")]), "INFO is not a JSON object"),
        (packed([("INFO", b"{}")]), "INFO names no script"),
        (packed([("INFO", b'{"script": 5}')]), "INFO names no script"),
        (packed([(".mf_install", b"[]")]), ".mf_install is not a JSON object"),
        (packed([(".mf_install", b'{"version": 2}')]), "content version 2; only 1, and 0"),
        (packed([(".mf_install", b'{"version": 1}'), ("INFO", b"")]), "it has no .mf_meta/INFO"),
        (packed([special("INFO", tarfile.CHRTYPE)]), "it has no INFO"),
    ],
    ids=range(18),
)
def test_a_bad_archive_is_reported_with_the_reason(blob: bytes, reason: str) -> None:
    with pytest.raises(BadCodePackage) as caught:
        CodePackage.read(blob, LOCATION, None)
    assert reason in caught.value.reason
    assert caught.value.location == LOCATION


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ("", "its metadata is not JSON"),
        ("null", "its metadata is not a JSON object"),
        ('{"version": 1}', "metadata version 1; only 0 is supported"),
        ('{"archive_format": "zip"}', "archive format 'zip'; only 'tgz' is supported"),
    ],
)
def test_unknown_metadata_says_what_is_supported(metadata: str, reason: str) -> None:
    with pytest.raises(BadCodePackage) as caught:
        CodePackage.read(packed([*V1.items()]), LOCATION, metadata)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "member",
    [
        ("../escaped.py", b"x"),
        ("sub/../../escaped.py", b"x"),
        ("/escaped.py", b"x"),
        ("//escaped.py", b"x"),
        ("sub/./escaped.py", b"x"),
        ("sub//escaped.py", b"x"),
        ("é" * 200, b"x"),
        ("deep/" * 2000 + "x", b"x"),
        ("tiny.py/below.py", b"x"),
        special("../escaped", tarfile.DIRTYPE),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "../escaped.py"),
        special("link", tarfile.SYMTYPE, "sub"),
        special("link", tarfile.SYMTYPE, "link"),
        special("link", tarfile.LNKTYPE, "../escaped.py"),
        special("link", tarfile.LNKTYPE, "/etc/passwd"),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
        special("unknown", b"Z"),
        special(".mf_code/not-asked-for", tarfile.CHRTYPE),
    ],
    ids=lambda member: (getattr(member, "name", None) or member[0])[:30],
)
def test_an_unsafe_member_is_refused_before_anything_is_written(
    member: tarfile.TarInfo | tuple[str, bytes], tmp_path: Path
) -> None:
    code = package(member)
    with pytest.raises(BadCodePackage, match="member"):
        code.extract(tmp_path / "inside")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..\\escaped.py", "C:\\escaped.py", "C:escaped.py", "a:b"])
def test_on_windows_names_never_lead_out_of_the_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "_NO_FILE_HAS", frozenset("\\:"))
    with pytest.raises(BadCodePackage, match="cannot be a file's"):
        package((name, b"x")).extract(tmp_path / "inside")
    assert list(tmp_path.iterdir()) == []


def test_a_link_within_the_package_is_written_as_the_file_it_means(tmp_path: Path) -> None:
    """Metaflow follows links when it packs; its first releases did not."""
    code = package(
        special("sub/soft.py", tarfile.SYMTYPE, "../tiny.py"),
        special("hard.py", tarfile.LNKTYPE, "sub/soft.py"),
    )
    code.extract(tmp_path)
    assert written(tmp_path) == {**USERS, "sub/soft.py": SOURCE, "hard.py": SOURCE}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_an_existing_link_is_not_written_through(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "sub").symlink_to(outside)
    with pytest.raises(BadCodePackage, match="'sub' is a link"):
        package().extract(inside)
    assert list(inside.iterdir()) == [inside / "sub"]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_existing_file_is_replaced_not_written_into(link, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outside, inside = tmp_path / "precious.py", tmp_path / "inside"
    outside.write_text("precious")
    inside.mkdir()
    link(outside, inside / "tiny.py")
    package().extract(inside)
    assert outside.read_text() == "precious"
    assert written(inside) == USERS


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    package().extract(tmp_path / "link")
    assert written(tmp_path / "real") == USERS


def test_a_file_is_executable_or_not_and_nothing_more(tmp_path: Path) -> None:
    tool, data = tarfile.TarInfo("tool"), tarfile.TarInfo("data")
    tool.mode, data.mode = 0o6777, 0o4666
    package(tool, data).extract(tmp_path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o666 & ~umask


def test_an_archive_that_expands_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "EXPANDED_LIMIT", 100_000)
    with pytest.raises(BadCodePackage, match="expands to more than"):
        package(("zeros", bytes(100_000)))


def test_links_do_not_multiply_the_written_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links = [special(f"link{n}", tarfile.LNKTYPE, "zeros") for n in range(10)]
    code = package(("zeros", bytes(50_000)), *links)
    monkeypatch.setattr(_archive, "EXPANDED_LIMIT", 500_000)
    with pytest.raises(BadCodePackage, match="expands to more than"):
        code.extract(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "MEMBER_LIMIT", len(V1))
    package()
    with pytest.raises(BadCodePackage, match="more than 8 members"):
        package(("one", b"more"))


@pytest.mark.parametrize("size", [-512, -1, 10**6, 2**62])
def test_an_impossible_size_is_refused(size: int) -> None:
    """A negative size sends some releases of `tarfile` into endless loops."""
    header = tarfile.TarInfo("tiny.py")
    header.size = size
    blob = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(BadCodePackage, match="has a wrong size"):
        CodePackage.read(blob, LOCATION, None)


def sparse(content: bytes) -> bytes:
    """Return a tgz of one member declared as a sparse file, GNU format 1.0."""
    header = tarfile.TarInfo("INFO")
    header.size = len(content)
    header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    header.pax_headers |= {"GNU.sparse.name": "INFO", "GNU.sparse.realsize": "9"}
    return gzip.compress(header.tobuf(tarfile.PAX_FORMAT) + content + bytes(10240))


def test_a_sparse_file_is_not_read() -> None:
    with pytest.raises(BadCodePackage, match="has no INFO"):
        CodePackage.read(sparse(b"1\n0\n9\n".ljust(512, b"\0") + bytes(512)), LOCATION, None)


@pytest.mark.parametrize(
    "blob",
    [
        sparse(b"no number".ljust(512, b"\0")),
        gzip.compress(tarfile.TarInfo("x" * 200).tobuf(tarfile.GNU_FORMAT)[:1024] * 2000),
    ],
    ids=["sparse map", "headers without end"],
)
def test_archives_that_crash_tarfile_are_refused(blob: bytes) -> None:
    with pytest.raises(BadCodePackage, match=r"not a readable \.tgz"):
        CodePackage.read(blob, LOCATION, None)


def test_a_directory_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("a file where a directory must be")
    with pytest.raises(FileExistsError):
        package().extract(tmp_path)
