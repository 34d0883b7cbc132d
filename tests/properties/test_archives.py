"""Arbitrary archives: reading fails with mfc's error only, and nothing is written outside the directory."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mfc._storage._archive import CodePackage
from mfc.errors import BadCodePackage

PARTS = st.sampled_from(["a", "b", "..", "..", ".", "", "é", "link", "outside", "secret"])
NAMES = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "", "", "/", "./", "../"]),
    st.lists(PARTS, min_size=1, max_size=4),
)
SAFE = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.DIRTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        b"Z",
    ]
)
#: (name, kind, target of a link, content)
Member = tuple[str, bytes, str, bytes]
HOSTILE = st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=4))
#: Plain files and links among a few names: clashes, duplicates and circles, but mostly valid.
PLAIN = st.tuples(
    SAFE,
    st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]),
    SAFE,
    st.binary(max_size=4),
)
FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
MARKERS = st.sampled_from([[], [(".mf_install", b'{"version": 1}')]])


def packed(members: list[Member], marker: list[tuple[str, bytes]], layout: int) -> bytes:
    """Return a tgz that is a code package of either version, with the members in it."""
    info = ".mf_meta/INFO" if marker else "INFO"
    own = [(n, tarfile.REGTYPE, "", c) for n, c in [*marker, (info, b'{"script": "a"}')]]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=layout) as archive:
        for name, kind, target, content in [*members, *own]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o7777
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def seen(directory: Path) -> dict[str, bytes | None]:
    """Return everything below a directory, without following links; None is a non-file."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in directory.rglob("*")
    }


def extracted(blob: bytes, *, everything: bool) -> dict[str, bytes] | None:
    """Extract next to a secret, prove that only the directory changed; None if refused."""
    with tempfile.TemporaryDirectory() as name:
        world = Path(name)
        (world / "outside").mkdir()
        (world / "outside" / "secret").write_bytes(b"precious")
        inside = world / "x" / "inside"
        inside.mkdir(parents=True)
        before = seen(world)
        done = False
        with contextlib.suppress(BadCodePackage):
            CodePackage.read(blob, "memory", None).extract(inside, everything=everything)
            done = True
        after = seen(world)
        below = {k: v for k, v in after.items() if k.startswith("x/inside/")}
        assert {k: v for k, v in after.items() if k not in below} == before
        if not done:
            assert below == {}
            return None
        for path in inside.rglob("*"):
            assert not path.is_symlink()
            assert path.is_file() or path.is_dir()
            assert path.is_dir() or path.stat().st_nlink == 1
            assert not path.stat().st_mode & 0o7000
        return {k.removeprefix("x/inside/"): v for k, v in below.items() if v is not None}


@given(
    members=st.lists(HOSTILE, max_size=4),
    marker=MARKERS,
    layout=FORMATS,
    everything=st.booleans(),
)
def test_nothing_escapes(
    *, members: list[Member], marker: list[tuple[str, bytes]], layout: int, everything: bool
) -> None:
    extracted(packed(members, marker, layout), everything=everything)


@given(st.lists(PLAIN, max_size=5), MARKERS, FORMATS)
def test_the_last_member_of_each_name_is_written(
    members: list[Member], marker: list[tuple[str, bytes]], layout: int
) -> None:
    files = extracted(packed(members, marker, layout), everything=False)
    if files is not None:
        last = {name: (kind, content) for name, kind, _, content in members}
        assert files.keys() == last.keys()
        for name, (kind, content) in last.items():
            assert kind != tarfile.REGTYPE or files[name] == content


@given(st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "é/é"]), st.binary(max_size=4)), MARKERS)
def test_plain_files_are_all_written(
    contents: dict[str, bytes], marker: list[tuple[str, bytes]]
) -> None:
    members = [(name, tarfile.REGTYPE, "", content) for name, content in contents.items()]
    blob = packed(members, marker, tarfile.PAX_FORMAT)
    assert extracted(blob, everything=False) == contents
    assert CodePackage.read(blob, "memory", None).user_files() == list(contents)


@given(st.lists(PLAIN, max_size=3), FORMATS, st.data())
def test_damage_is_bad_code_package_or_harmless(
    members: list[Member], layout: int, data: st.DataObject
) -> None:
    """Damage below the compression, where gzip's checksum does not catch it."""
    import gzip

    raw = bytearray(gzip.decompress(packed(members, [], layout)))
    places = st.integers(0, len(raw) - 1)
    for place in data.draw(st.lists(places, max_size=4), label="places"):
        raw[place] = data.draw(st.integers(0, 255))
    # With a corrected checksum, damage gets past the first check of each header.
    for start in data.draw(st.lists(st.sampled_from(range(0, len(raw), 512)), max_size=3)):
        header = bytes(raw[start : start + 148]) + b" " * 8 + bytes(raw[start + 156 : start + 512])
        raw[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    extracted(gzip.compress(bytes(raw), compresslevel=1), everything=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(blob: bytes) -> None:
    with contextlib.suppress(BadCodePackage):
        CodePackage.read(blob, "memory", None)
