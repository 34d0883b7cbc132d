"""A store of objects as a filesystem."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

import attrs

from mfc.errors import BadSetting

if TYPE_CHECKING:
    from types import ModuleType

    from mfc.config import Config
    from mfc_objectstore.failure import Failure

T = TypeVar("T")

#: Seconds without progress after which a read is given up, unless `MFC_READ_TIMEOUT` says else.
PATIENCE = 60.0
#: Tries after the first that failed, as Metaflow's S3 tool has them.
RETRIES = 7
#: Seconds of the longest wait; whoever wants to wait for ever means it.
_LONGEST = 86400.0
#: Bytes that an open file reads at once.
_WINDOW = 1 << 23


@attrs.frozen
class Bucket:
    """What a bucket is opened with."""

    #: Options of obstore's store.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Options of its HTTP client.
    client: Mapping[str, Any] = attrs.field(factory=dict)
    #: Gives credentials as obstore wants them; None if it finds them itself.
    credentials: Callable[[], Any] | None = attrs.field(default=None, repr=False)


class Cloud(Protocol):
    """What is particular about the objects of one cloud."""

    #: Metaflow's name of the datastore type, which begins URLs.
    ds_type: str
    #: Name of obstore's class.
    store: str

    def bucket(self, name: str) -> Bucket:
        """Return how to open a bucket. Asked once in a process.

        Raises:
            PermissionError: there are no credentials; the text says where they were looked for.
        """

    def elsewhere(self, name: str, bucket: Bucket, failure: Failure) -> Bucket | None:
        """Return how to open a bucket after a request failed because it was opened wrongly."""


class ObjectFiles:
    """The files of a datastore in a cloud; see `mfc.hookspecs.Filesystem`.

    A read ends after `MFC_READ_TIMEOUT` seconds without progress. Within them it is tried again
    when the store is busy, or the connection breaks.

    Args:
        cloud: which.
        config: the client's settings.
        retries: tries after the first that failed.
    """

    def __init__(self, cloud: Cloud, config: Config, retries: int = RETRIES) -> None:
        self._cloud, self._retries = cloud, retries
        self._seconds = _seconds(config)
        #: Where the settings say that results are: in case they are gone from where they were.
        self.usual_root = config.text(f"DATASTORE_SYSROOT_{cloud.ds_type.upper()}")
        # Stores do not outlive a fork, so each process has its own. Those of the parent are kept:
        # to drop them would touch threads that the child does not have.
        self._stores: dict[tuple[int, str], tuple[Bucket, Any]] = {}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of an object, all by default."""
        first = start or 0
        if end is not None and end <= first:
            return b""
        found = self._ask(path, partial(_content, start=first, end=end))
        return b"" if found is None else found

    def size(self, path: str) -> int:
        """Return the size of an object in bytes."""
        found = self._ask(path, lambda library, store, key: int(library.head(store, key)["size"]))
        return found or 0

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the object, opened for reading; it comes in parts, as they are read."""
        if mode != "rb":
            raise ValueError(f"mode is {mode!r}; objects are only read, with 'rb'")
        import io  # only open files need it

        from mfc_objectstore._parts import Parts

        return io.BufferedReader(Parts(self, path, self.size(path)), _WINDOW)

    def _ask(
        self, path: str, question: Callable[[ModuleType, Any, str], T], found: Bucket | None = None
    ) -> T | None:
        """Return what an object answers; None if it has nothing in the range that was wanted.

        Args:
            path: bucket and key.
            question: asks it.
            found: how to open the bucket, where that was found out by a first try.
        """
        from mfc_objectstore._library import library  # only who reads objects needs it

        name, _, key = path.partition("/")
        if not name or not key or key.endswith("/"):
            raise FileNotFoundError(f"{self._cloud.ds_type}://{path} names no object")
        bucket, store = self._opened(name, found)
        try:
            return question(library(), store, key)
        except Exception as cause:
            from mfc_objectstore.failure import Failure  # only failures need it

            failure = Failure.of(cause, self._seconds)
            if failure.out_of_range:
                return None
            better = self._cloud.elsewhere(name, bucket, failure)
            if found is not None or better is None or better == bucket:
                raise failure.error(f"{self._cloud.ds_type}://{path}") from cause
        return self._ask(path, question, better)

    def _opened(self, name: str, bucket: Bucket | None = None) -> tuple[Bucket, Any]:
        here = (os.getpid(), name)
        if bucket is None:
            found = self._stores.get(here)
            if found is not None:
                return found
            bucket = self._cloud.bucket(name)
        self._stores[here] = bucket, self._made(name, bucket)
        return self._stores[here]

    def _made(self, name: str, bucket: Bucket) -> Any:
        from mfc_objectstore._library import library
        from mfc_objectstore._limits import client_limits, retry_limits

        try:
            return getattr(library()._store, self._cloud.store)(
                name,
                config=dict(bucket.options),
                client_options={**client_limits(self._seconds), **bucket.client},
                retry_config=retry_limits(self._seconds, self._retries),
                credential_provider=bucket.credentials,
            )
        except Exception as cause:
            from mfc_objectstore.failure import Failure  # as above

            # Options and files with keys come from users, and obstore looks at them here.
            reason = Failure.of(cause, self._seconds).text
            raise PermissionError(
                f"{self._cloud.ds_type}://{name} cannot be opened as it is configured: {reason}"
            ) from cause


def _seconds(config: Config) -> float:
    """Return how long a read may make no progress.

    Raises:
        BadSetting: it is no positive number.
    """
    name = "MFC_READ_TIMEOUT"
    found = config.number(name, PATIENCE)
    if not found > 0:
        value, source = config.find(name) or (found, "")
        raise BadSetting(name, value, source, "a number above 0")
    return min(found, _LONGEST)


def _content(library: ModuleType, store: Any, key: str, start: int, end: int | None) -> bytes:
    if end is not None:
        return bytes(library.get_range(store, key, start=start, end=end))
    options = {"range": {"offset": start}} if start else None
    return bytes(library.get(store, key, options=options).bytes())
