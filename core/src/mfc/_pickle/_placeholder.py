"""Placeholders for classes and functions that cannot be imported here."""

from __future__ import annotations

import copyreg
import re
from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import Any, ClassVar, NoReturn, cast

from mfc._pickle._origin import HAS_CODE
from mfc.errors import shown, visible
from mfc.trust import Trust

#: Valid names of distributions.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
#: Import name → the distribution to install, where the two differ.
PACKAGES: dict[str, str] = {
    "Bio": "biopython",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google": "google-cloud-storage",
    "igraph": "python-igraph",
    "jwt": "pyjwt",
    "osgeo": "gdal",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class PlaceholderType(type):
    """Metaclass of placeholders; a pickle may refer to such a class without making an object."""

    _told: str | Callable[[], str] = ""

    @property
    def advice(cls) -> str:
        """Advice, as a sentence."""
        if not isinstance(cls._told, str):
            cls._told = visible(cls._told())
        return cls._told

    def __repr__(cls) -> str:
        module, qualname = getattr(cls, "module", ""), getattr(cls, "qualname", "")
        if not module:
            return type.__repr__(cls)
        return visible(f"<placeholder for {module}.{qualname}: {getattr(cls, 'advice', '')}>")


class Placeholder(metaclass=PlaceholderType):
    """An object whose class cannot be imported: its stored parts, and advice.

    Each missing class of a value has a subclass of its own. Only plain containers hold
    placeholders: an object of a library that would hold one is a placeholder itself.
    """

    #: module of the class when it was stored.
    module: ClassVar[str] = ""
    #: name of the class in that module.
    qualname: ClassVar[str] = ""
    #: distribution to install; empty for a class of the flow's own code.
    install: ClassVar[str] = ""
    #: installed version of it, or None.
    installed: ClassVar[str | None] = None
    #: bytes of the whole pickle.
    raw: ClassVar[bytes] = b""
    #: trust at which it was loaded.
    trust: ClassVar[Trust] = Trust.none()

    #: `_loads.loads`, which that module sets, for it imports this one.
    _loads: ClassVar[Callable[..., Any]]

    # Class-wide defaults: some constructions bypass `__new__`.
    #: positional arguments that the object was made with.
    args: tuple[Any, ...] = ()
    #: keyword arguments that the object was made with.
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - replaced by each instance, never changed
    #: argument for the object's `__setstate__` or `__dict__`.
    state: Any = None
    #: elements and (key, value) pairs of a list, set or dict subclass, in order.
    items: list[Any] = []  # noqa: RUF012 - replaced by each instance, never changed
    #: number of the object in the pickle, in the order of building.
    part: int | None = None
    #: whether the object was made by `__new__`, not by a call.
    new: bool = False

    @property
    def advice(self) -> str:
        """Advice, as a sentence."""
        return str(type(self).advice)

    def load(self) -> Any:
        """Return the object itself, now that its class can be imported.

        It is loaded again from `raw`, at the same trust. While the class is missing, the result
        is a placeholder.

        Raises:
            UntrustedValue, UndecodableArtifact: the object cannot be loaded.
        """
        return self._loads(self.raw, self.trust, part=self.part)

    def __getattr__(self, name: str) -> NoReturn:
        """Explain why attributes of the missing class are missing.

        Raises:
            AttributeError: always.
        """
        text = f"no attribute {name!r} on a placeholder for {self.module}.{self.qualname}"
        raise AttributeError(visible(f"{text}: {self.advice}"), name=name, obj=self)

    def append(self, item: object) -> None:
        """Keep an element; called by the unpickler."""
        self.__dict__.setdefault("items", []).append(item)

    def extend(self, items: list[Any]) -> None:
        """Keep elements; called by the unpickler."""
        self.__dict__.setdefault("items", []).extend(items)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the placeholder itself, for other processes and for caches."""
        made = self.args, self.kwargs, self.part, self.new
        return Placeholder._made, (type(self), *made), {"state": self.state}, iter(self.items)

    @staticmethod
    def _made(
        kind: type[Placeholder], args: tuple[Any, ...], kwargs: dict[str, Any], *origin: Any
    ) -> Placeholder:
        """Return a placeholder from its pickle."""
        made = kind()
        made.args, made.kwargs, made.items = args, kwargs, []
        made.part, made.new = origin
        return made

    @staticmethod
    def _class(module: str, qualname: str, *facts: Any) -> PlaceholderType:
        """Return the class of the placeholders for one class."""
        fields = dict(zip(("install", "installed", "_told", "raw", "trust"), facts, strict=True))
        fields |= {"module": module, "qualname": qualname, "__module__": __name__}
        fields["__doc__"] = visible(f"Stands for `{module}.{qualname}`.")
        return PlaceholderType(
            visible(qualname).rpartition(".")[2] or "Placeholder", (Placeholder,), fields
        )

    def __repr__(self) -> str:
        return visible(f"<placeholder for a {self.module}.{self.qualname}: {self.advice}>")


def placeholder(
    module: str, qualname: str, raw: bytes, trust: Trust, cause: BaseException | None = None
) -> type[Placeholder]:
    """Return a class that stands for `module.qualname` in the value pickled in `raw`.

    Args:
        module: module that cannot be imported, or lacks the name.
        qualname: name in that module.
        raw: bytes of the whole pickle, kept for the user.
        trust: the trust at which it is loaded.
        cause: the error of the import; None where the class exists, but holds a missing one.
    """
    top = module.partition(".")[0]
    own = top in {"", "__main__", "__mp_main__"}
    package = "" if own else PACKAGES.get(top, top)
    installed = None if own else version(package)
    told = partial(_advice, module, qualname, package, installed, cause, HAS_CODE.get())
    made = Placeholder._class(module, qualname, package, installed, told, raw, trust)  # noqa: SLF001 - of this module
    return cast("type[Placeholder]", made)


def version(package: str) -> str | None:
    """Return the installed version of a distribution; None if it is not installed."""
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _reduced(kind: PlaceholderType) -> str | tuple[Any, ...]:
    if kind is Placeholder:
        return "Placeholder"
    shown = cast("type[Placeholder]", kind)
    facts = shown.install, shown.installed, shown.advice, shown.raw, shown.trust
    return Placeholder._class, (shown.module, shown.qualname, *facts)  # noqa: SLF001 - of this module


# The classes are made while a value is loaded, so pickle cannot find them by name.
copyreg.pickle(PlaceholderType, _reduced)
# Pickles contain only names that users can import.
for _function in (Placeholder._made, Placeholder._class):  # noqa: SLF001 - of this module
    _function.__module__ = "mfc"
Placeholder.__module__ = "mfc"


def _advice(  # noqa: PLR0911, PLR0913, PLR0917 - one for each cause
    module: str,
    qualname: str,
    package: str,
    installed: str | None,
    cause: BaseException | None,
    has_code: Callable[[], bool | None],
) -> str:
    if not package:
        return f"{qualname} was defined in the flow's own code; {_own_code(has_code)}"
    if not _DISTRIBUTION.fullmatch(package):
        return f"no distribution has the name {shown(package)}; the value was not written by Python"
    if cause is None:
        return "it holds what cannot be imported here"
    if isinstance(cause, ModuleNotFoundError) and not (cause.name or module).startswith(
        module.partition(".")[0]
    ):
        needed = PACKAGES.get(str(cause.name), cause.name)
        return f"importing {module} needs {cause.name}: pip install {needed}"
    if installed:
        here = f"{package} {installed} is installed and has no {module}.{qualname}"
        return f"{here}; install the version that wrote it"
    if isinstance(cause, AttributeError):
        return f"the installed {package} has no {qualname}; install the version that wrote it"
    if isinstance(cause, ModuleNotFoundError):
        own = _own_code(has_code)
        return f"pip install {package}; or, if {module} is the flow's own code, {own}"
    return f"importing {module} failed with {type(cause).__name__}: {cause}"


def _own_code(has_code: Callable[[], bool | None]) -> str:
    """Return a sentence on where to find the flow's own code."""
    recorded = has_code()
    given = "run.code.extract() gives it"
    if recorded is None:
        given += " if the run recorded its code"
    elif not recorded:
        given = "this run recorded none of it"
    return f"put that code on the path; {given}"
