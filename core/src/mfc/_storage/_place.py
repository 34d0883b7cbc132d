"""Locations in a datastore: the roots that records name."""

from __future__ import annotations

from typing import NamedTuple

from mfc.errors import DatastoreError, UntrustedValue
from mfc.model import ArtifactRecord

#: Prefix of `:root:<root>`, in records since Metaflow 2.0; older ones have the path of the blob.
ROOT_MARK = ":root:"


class Roots(NamedTuple):
    """Roots of a datastore type besides the recorded one."""

    #: The root beside the records, which is tried first: results may be a copy.
    own: str | None = None
    #: The root from the settings, which is tried last: results may have moved.
    usual: str | None = None


class Place(NamedTuple):
    """A flow's part of a datastore: its type and the possible roots, best first."""

    ds_type: str
    roots: tuple[str, ...]
    flow: str
    #: The recorded root, if another one is tried before it; else empty.
    original: str = ""
    #: Whether links that lead out of a root are refused.
    bound: bool = False


def place_of(record: ArtifactRecord, others: Roots) -> Place:
    """Return the place of the value of `record`.

    Args:
        record: an artifact record.
        others: roots besides the recorded one.

    Raises:
        DatastoreError: the location names neither a root nor a blob of this flow.

    Source:
        Metaflow 2.19, `DataStoreStorage.get_datastore_root_from_location`.
    """
    flow = record.path.components[0]
    return place(record.ds_type, root_in(record.location, flow, str(record.path)), flow, others)


def root_in(location: str, flow: str, subject: str) -> str:
    """Return the datastore root that a recorded location implies.

    Raises:
        DatastoreError: the location names neither a root nor a blob of `flow`.
    """
    if location.startswith(ROOT_MARK):
        return location[len(ROOT_MARK) :]
    root, mark, rest = location.rpartition(f"/{flow}/data/")
    if not mark or rest.count("/") != 1:
        raise DatastoreError(subject, location, f"its location is not in the data of flow {flow}")
    return root


def place(ds_type: str, root: str, flow: str, others: Roots) -> Place:
    """Return the place with a recorded root; the provider's own root comes before it."""
    roots = tuple(dict.fromkeys(filter(None, (others.own, root, others.usual))))
    return Place(ds_type, roots, flow, root if roots[0] != root else "")


def bound(place: Place, others: Roots, subject: str) -> Place:
    """Return a place limited to known roots: a recorded root may lead anywhere.

    Args:
        place: the place of a value.
        others: roots besides the recorded one.
        subject: description, for errors.

    Raises:
        UntrustedValue: the record names another root than the known one.
    """
    usual = others.own or others.usual
    if usual is None:  # only the records tell where results are
        return place._replace(bound=True)
    if others.own is None and usual.rstrip("/") not in (
        root.rstrip("/") for root in place.roots[:1]
    ):
        reason = f"its record leads to another root than {usual}, and trust is 'none'"
        raise UntrustedValue(subject, place.roots[0], reason)
    return Place(place.ds_type, (usual,), place.flow, bound=True)
