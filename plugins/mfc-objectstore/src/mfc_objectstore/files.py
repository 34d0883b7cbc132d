"""A store of objects as a filesystem."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import attrs

from mfc.errors import BadSetting, MetaflowException

if TYPE_CHECKING:
    from types import ModuleType

    from mfc.config import Config
    from mfc_objectstore.failure import Failure

T = TypeVar("T")
B = TypeVar("B")

#: Seconds without progress after which a read is given up, unless `MFC_READ_TIMEOUT` says else.
PATIENCE = 60.0
#: Tries after the first that failed, as Metaflow's S3 tool has them.
RETRIES = 7
#: Seconds of the longest wait; whoever wants to wait for ever means it.
_LONGEST = 86400.0
#: Ways to open a bucket that one read tries: as it was, with new credentials, in another region.
_WAYS = 3
#: Seconds for which a refusal is believed after credentials were refused that had just been found.
_FRUITLESS = 10.0
#: Bytes that an open file reads at once.
_WINDOW = 1 << 23


@attrs.frozen
class Bucket:
    """What the objects of a bucket are read with."""

    #: URL that the keys of objects are appended to.
    url: str
    #: Name of obstore's class, where requests are signed.
    store: str = ""
    #: Its options.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Options of its HTTP client; headers of every request may be among them.
    client: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: What requests are signed with, in obstore's form.
    credential: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    #: Seconds since 1970 until which the credential is good.
    until: float = math.inf
    #: Returns the same with a credential that is good for longer; raises as `Cloud.bucket`.
    renew: Callable[[], Bucket] | None = attrs.field(default=None, repr=False, eq=False)

    def reads_as(self, other: Bucket) -> bool:
        """Tell whether the requests of both are the same."""
        return attrs.evolve(self, until=math.inf) == attrs.evolve(other, until=math.inf)


class Cloud:
    """What is particular about the objects of one cloud."""

    #: Metaflow's name of the datastore type, which begins URLs.
    ds_type: str

    def bucket(self, name: str) -> Bucket:
        """Return how to open a bucket, credentials looked up anew.

        Raises:
            PermissionError: there are no credentials; the text says where they were looked for.
            BadSetting: a setting is not of its kind.
        """
        raise NotImplementedError

    def elsewhere(self, name: str, failure: Failure) -> Bucket | None:  # noqa: ARG002 - for those that can
        """Return how to open a bucket after a request failed because it was opened wrongly."""
        return None


@attrs.frozen(eq=False)
class _Opened:
    """A bucket, and obstore's store for it."""

    bucket: Bucket
    store: Any


class _Stores:
    """The stores of one process: they do not outlive a fork, and neither do locks."""

    def __init__(self) -> None:
        self.pid, self.lock = os.getpid(), threading.Lock()
        self.opened: dict[str, _Opened] = {}
        #: When credentials that had just been looked up were refused.
        self.refused = -math.inf


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
        options = config.mapping(f"MFC_{cloud.ds_type.upper()}_OPTIONS")
        self._trusts_any = bool(options.get("allow_invalid_certificates"))
        #: Where the settings say that results are: in case they are gone from where they were.
        self.usual_root = config.text(f"DATASTORE_SYSROOT_{cloud.ds_type.upper()}")
        self._here, self._left = _Stores(), list[_Stores]()

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

    def _ask(self, path: str, question: Callable[[ModuleType, Any, str], T]) -> T | None:
        """Return what an object answers; None if it has nothing in the range that was wanted.

        Args:
            path: bucket and key.
            question: asks it.
        """
        from mfc_objectstore._library import library  # only who reads objects needs it

        url = f"{self._cloud.ds_type}://{path}"
        name, _, key = path.partition("/")
        if not name or not key or key.endswith("/"):
            raise FileNotFoundError(f"{url} names no object")
        opened = self._opened(name)
        tried: list[Bucket] = []
        while True:
            try:
                return question(library(), opened.store, key)
            except BaseException as cause:
                if not (isinstance(cause, Exception) or is_panic(cause)):
                    raise
                failure = self._failure(cause)
            if failure.out_of_range:
                return None
            tried.append(opened.bucket)
            better = self._better(name, opened, failure, tried)
            # Raised out here, for what a library raised may quote a secret.
            if better is None:
                raise failure.error(url)
            opened = better

    def _failure(self, cause: BaseException) -> Failure:
        from mfc_objectstore.failure import Failure  # only failures need it

        return Failure.of(cause, self._seconds)

    def _better(
        self, name: str, opened: _Opened, failure: Failure, tried: list[Bucket]
    ) -> _Opened | None:
        """Return another way to open a bucket after a request failed, None if there is none.

        Credentials that were refused are looked up anew, once for all threads.
        """
        if len(tried) >= _WAYS:
            return None
        here = self._stores()
        with here.lock:
            current = here.opened.get(name)
            if current is not None and current is not opened:
                return current if current.bucket not in tried else None
            fresh: Bucket | None
            if failure.is_refusal and len(tried) == 1:
                if not failure.is_expiry and time.monotonic() - here.refused < _FRUITLESS:
                    return None
                fresh = self._asked(lambda: self._cloud.bucket(name))
            else:
                if failure.is_refusal:
                    here.refused = time.monotonic()
                fresh = self._asked(lambda: self._cloud.elsewhere(name, failure))
            if fresh is None or any(map(fresh.reads_as, tried)):
                return None
            return self._open(here, name, fresh)

    def _opened(self, name: str) -> _Opened:
        here = self._stores()
        opened = here.opened.get(name)
        if opened is not None and time.time() < opened.bucket.until:
            return opened
        with here.lock:
            opened = here.opened.get(name)
            if opened is None:
                return self._open(here, name, self._asked(lambda: self._cloud.bucket(name)))
            old = opened.bucket
            if time.time() < old.until or old.renew is None:
                return opened
            fresh = self._asked(old.renew)
            if fresh.reads_as(old):
                opened = attrs.evolve(opened, bucket=fresh)
                here.opened[name] = opened
                return opened
            return self._open(here, name, fresh)

    def _stores(self) -> _Stores:
        # Those of the parent are kept: to drop them would touch threads that a child has not.
        if self._here.pid != os.getpid():
            self._left.append(self._here)
            self._here = _Stores()
        return self._here

    def _asked(self, ask: Callable[[], B]) -> B:
        """Return what a cloud says; none of its library's errors leaves this."""
        try:
            return ask()
        except (OSError, MetaflowException) as error:
            known: Exception = error
            known.__cause__ = known.__context__ = None
        except Exception as error:  # noqa: BLE001 - of any library
            known = PermissionError(
                f"No credentials for {self._cloud.ds_type}://: its library failed with "
                f"{type(error).__name__}; check the settings and files that it reads"
            )
        raise known

    def _open(self, here: _Stores, name: str, bucket: Bucket) -> _Opened:
        try:
            made = self._made(name, bucket)
        except BaseException as cause:
            if not (isinstance(cause, Exception) or is_panic(cause)):
                raise
            # Options and files with keys come from users, and obstore looks at them here.
            reason = self._failure(cause).text
        else:
            here.opened[name] = _Opened(bucket, made)
            return here.opened[name]
        raise PermissionError(
            f"{self._cloud.ds_type}://{name} cannot be opened as it is configured: {reason}"
        )

    def _made(self, name: str, bucket: Bucket) -> Any:
        from mfc_objectstore._library import library
        from mfc_objectstore._limits import client_limits, retry_limits
        from mfc_objectstore._variables import undone

        trusting = {"allow_invalid_certificates": True} if self._trusts_any else {}
        limits: dict[str, Any] = {
            "client_options": {**client_limits(self._seconds), **bucket.client, **trusting},
            "retry_config": retry_limits(self._seconds, self._retries),
        }
        kinds = library()._store  # noqa: SLF001
        if not bucket.store:
            return kinds.HTTPStore.from_url(bucket.url, **limits)
        options = {**undone(bucket.store, bucket.url), **bucket.options, "endpoint": bucket.url}
        given = {**(bucket.credential or {}), "expires_at": None}
        return getattr(kinds, bucket.store)(
            name, config=options, credential_provider=lambda: given, **limits
        )


def is_panic(cause: BaseException) -> bool:
    """Tell whether something is a panic of Rust, which is not an Exception."""
    return type(cause).__name__ == "PanicException"


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
