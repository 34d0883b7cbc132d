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

#: Seconds without progress after which a read fails, unless `MFC_READ_TIMEOUT` is set.
PATIENCE = 60.0
#: Retries, as many as Metaflow's S3 tool has.
RETRIES = 7
#: Seconds of the longest wait; larger settings are read as this one.
_LONGEST = 86400.0
#: Ways to open a bucket that one read tries: as before, with new credentials, in another region.
_WAYS = 3
#: Seconds for which a refusal is trusted after newly found credentials were refused.
_FRUITLESS = 10.0
#: Bytes that an open file reads at once.
_WINDOW = 1 << 23


@attrs.frozen
class Bucket:
    """The settings for reading the objects of a bucket."""

    #: URL that the keys of objects are appended to.
    url: str
    #: Name of obstore's class, where requests are signed.
    store: str = ""
    #: Its options.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Options of its HTTP client; headers of every request may be among them.
    client: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: The credential that signs requests, in obstore's form.
    credential: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    #: Expiry of the credential, in seconds since 1970.
    until: float = math.inf
    #: Returns the same bucket with a newer credential; raises as `Cloud.bucket` does.
    renew: Callable[[], Bucket] | None = attrs.field(default=None, repr=False, eq=False)

    def reads_as(self, other: Bucket) -> bool:
        """Tell whether both send the same requests."""
        return attrs.evolve(self, until=math.inf) == attrs.evolve(other, until=math.inf)


class Cloud:
    """The particulars of one cloud."""

    #: Metaflow's name of the datastore type, which begins URLs.
    ds_type: str

    def bucket(self, name: str) -> Bucket:
        """Return the recipe for opening a bucket, with credentials looked up anew.

        Raises:
            PermissionError: credentials are missing; the text says where they were looked for.
            BadSetting: a setting is not of its kind.
        """
        raise NotImplementedError

    def elsewhere(self, name: str, failure: Failure) -> Bucket | None:  # noqa: ARG002 - for regions
        """Return how to open a bucket after a request failed because it was opened wrongly."""
        return None


@attrs.frozen(eq=False)
class _Opened:
    """A bucket, and obstore's store for it."""

    bucket: Bucket
    store: Any


class _Stores:
    """The stores of one process; neither they nor locks survive a fork."""

    def __init__(self) -> None:
        self.pid, self.lock = os.getpid(), threading.Lock()
        self.opened: dict[str, _Opened] = {}
        #: When newly found credentials were refused.
        self.refused = -math.inf


class ObjectFiles:
    """The files of a datastore in a cloud; see `mfc.hookspecs.Filesystem`.

    A read ends after `MFC_READ_TIMEOUT` seconds without progress. Until then it is retried when the
    store is busy or the connection breaks.

    Args:
        cloud: the cloud.
        config: the client's settings.
        retries: the most retries.
    """

    def __init__(self, cloud: Cloud, config: Config, retries: int = RETRIES) -> None:
        self._cloud, self._retries = cloud, retries
        self._seconds = _seconds(config)
        options = config.mapping(f"MFC_{cloud.ds_type.upper()}_OPTIONS")
        self._trusts_any = bool(options.get("allow_invalid_certificates"))
        #: Root of the results by the settings, tried when they are gone from the recorded location.
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
        """Return the object, opened for reading; its parts are fetched as they are read."""
        if mode != "rb":
            raise ValueError(f"mode is {mode!r}; objects are only read, with 'rb'")
        import io  # only open files need it

        from mfc_objectstore._parts import Parts

        return io.BufferedReader(Parts(self, path, self.size(path)), _WINDOW)

    def _ask(self, path: str, question: Callable[[ModuleType, Any, str], T]) -> T | None:
        """Return an object's answer; None if it has no bytes in the queried range.

        Args:
            path: bucket and key.
            question: sends the request.
        """
        from mfc_objectstore._library import library  # only readers of objects need it

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
            # Raised outside the handler, because the library's own error may quote a secret.
            if better is None:
                raise failure.error(url)
            opened = better

    def _failure(self, cause: BaseException) -> Failure:
        from mfc_objectstore.failure import Failure  # only failures need it

        return Failure.of(cause, self._seconds)

    def _better(
        self, name: str, opened: _Opened, failure: Failure, tried: list[Bucket]
    ) -> _Opened | None:
        """Return another way to open a bucket after a request failed, None without one.

        Refused credentials are looked up anew, once for all threads.
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
        # The parent's stores are kept: dropping them would touch threads that the child lacks.
        if self._here.pid != os.getpid():
            self._left.append(self._here)
            self._here = _Stores()
        return self._here

    def _asked(self, ask: Callable[[], B]) -> B:
        """Return a cloud's answer, with its library's errors translated."""
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
            # Options and key files come from users, and obstore parses them here.
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
    """Return the most seconds without progress.

    Raises:
        BadSetting: the setting is not a positive number.
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
