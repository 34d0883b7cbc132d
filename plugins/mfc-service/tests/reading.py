"""Reading from a service through the plugin, and recorded answers parsed without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from mfc.config import Config
from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc_service import mfc_metadata_provider

#: Fields that name an object in the service's JSON, and the words before the names in a URL.
NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
WORDS = ("flows", "runs", "steps", "tasks", "artifacts")


class Metered:
    """Counts requests and bytes."""

    def __init__(self) -> None:
        self.reads = self.size = 0

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        self.reads += reads
        self.size += size


class Answered:
    """Another plugin's answer to `mfc_service_auth`."""

    def __init__(self, *answers: Any) -> None:
        self._answers = answers

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        assert hook == "mfc_service_auth"
        assert set(arguments) == {"url", "config"}
        return list(self._answers)


def provider(
    url: str,
    settings: Mapping[str, Any] | None = None,
    meter: Metered | None = None,
    auth: Iterable[Any] = (),
) -> MetadataProvider:
    """Return the plugin's provider; of the environment it sees only HOME and proxies."""
    config = Config(overrides=dict(settings or {}), environment={})
    address = url if url.startswith("service") else f"service@{url}"
    made = mfc_metadata_provider(address, config, meter or Metered(), Answered(*auth))
    assert made is not None
    return made


def path(text: str) -> Pathspec:
    """Return a pathspec from its text; the empty one is the root."""
    return Pathspec(tuple(text.split("/")) if text else ())


def path_of(target: str) -> Pathspec | None:
    """Return the object at a URL's path; None for a listing or an invalid path."""
    parts = target.partition("?")[0].split("/")[1:]
    if len(parts) % 2 or tuple(parts[::2]) != WORDS[: len(parts) // 2]:
        return None
    return Pathspec(tuple(map(unquote, parts[1::2])))


def told(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the fields of a recorded object in the form that `said` gives."""
    if "field_name" in row:
        numbers = [tag.partition(":")[2] for tag in row["tags"] if tag.startswith("attempt_id:")]
        attempt = int(numbers[0]) if numbers else None
        return (
            _path(row, 4),
            row["field_name"],
            row["value"],
            row["type"],
            row["ts_epoch"],
            attempt,
        )
    level = sum(name in row for name in NAMES)
    tags = sorted(row["tags"] or ()), sorted(row["system_tags"] or ())
    basic = (_path(row, level), row["ts_epoch"], row["user_name"], *tags)
    if level < Level.ARTIFACT:
        return basic
    where = [row[name] for name in ("attempt_id", "sha", "ds_type", "location", "content_type")]
    return (*basic, *where)


def said(record: Record | MetadataRecord) -> tuple[Any, ...]:
    """Return the fields of a record in comparable form."""
    if isinstance(record, MetadataRecord):
        same = (record.name, record.value, record.type, record.created, record.attempt)
        return (str(record.task), *same)
    tags = sorted(record.tags), sorted(record.system_tags)
    basic = (str(record.path), record.created, record.user, *tags)
    if not isinstance(record, ArtifactRecord):
        return basic
    where = (record.attempt, record.sha, record.ds_type, record.location, record.encoding)
    return (*basic, *where)


def names(records: Iterable[Record]) -> list[str]:
    """Return the names of records, in their order."""
    return [record.path.name for record in records]


def _path(row: Mapping[str, Any], level: int) -> str:
    return "/".join(str(row[name]) for name in NAMES[:level])
