"""What stands in for a class or function that cannot be imported here."""

from __future__ import annotations

import copyreg
from typing import Any, ClassVar, NoReturn, cast

#: Import name → the package to install, where the two differ.
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
    """Class of the placeholder classes.

    A pickle may refer to a missing function or class without calling it, and may ask a
    missing class for a member (an `Enum`'s, a class method); both have to show themselves.
    """

    def __repr__(cls) -> str:
        module, qualname = getattr(cls, "module", ""), getattr(cls, "qualname", "")
        if not module:
            return type.__repr__(cls)
        return f"<placeholder for {module}.{qualname}: {getattr(cls, 'advice', '')}>"

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") or not cls.module:
            raise AttributeError(name)
        return cls(name)


class Placeholder(metaclass=PlaceholderType):
    """An object whose class is not installed: what was stored of it, and what to install.

    The unpickler makes a subclass for each missing class of one value.
    """

    #: module that the class was imported from when it was stored.
    module: ClassVar[str] = ""
    #: name of the class in that module.
    qualname: ClassVar[str] = ""
    #: package to install; empty for a class of the flow's own code.
    install: ClassVar[str] = ""
    #: what to do, as a sentence.
    advice: ClassVar[str] = ""
    #: bytes of the whole pickle.
    raw: ClassVar[bytes] = b""

    # Class-wide defaults: some constructions bypass `__new__`.
    #: positional arguments that the object was made with.
    args: tuple[Any, ...] = ()
    #: keyword arguments that the object was made with.
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - replaced by each instance, never changed
    #: what the object's `__setstate__` or `__dict__` would have got.
    state: Any = None
    #: elements and (key, value) pairs of a list, set or dict subclass, in order.
    items: list[Any] = []  # noqa: RUF012 - replaced by each instance, never changed

    def __new__(cls, *args: Any, **kwargs: Any) -> Placeholder:
        """Accept whatever the missing class was called with."""
        made = object.__new__(cls)
        made.args, made.kwargs, made.items = args, kwargs, []
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; `__new__` kept the arguments."""

    def __setstate__(self, state: object) -> None:
        """Keep the state for whoever wants to look."""
        self.__dict__["state"] = state

    def append(self, item: object) -> None:
        """Keep one element of a list subclass."""
        self.__dict__.setdefault("items", []).append(item)

    add = append

    def extend(self, items: list[Any]) -> None:
        """Keep elements of a list subclass."""
        self.__dict__.setdefault("items", []).extend(items)

    def __setitem__(self, key: object, value: object) -> None:
        """Keep one pair of a dict subclass."""
        self.append((key, value))

    def __getattr__(self, name: str) -> NoReturn:
        """Say why the missing class's attributes are missing too.

        Raises:
            AttributeError: always.
        """
        text = f"no attribute {name!r} on a placeholder for {self.module}.{self.qualname}"
        raise AttributeError(f"{text}: {self.advice}", name=name, obj=self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the placeholder that it is, for other processes and for caches."""
        return _made, (type(self), self.args, self.kwargs), self.state, iter(self.items)

    def __repr__(self) -> str:
        return f"<placeholder for a {self.module}.{self.qualname}: {self.advice}>"


def placeholder(
    module: str, qualname: str, raw: bytes, cause: BaseException | None = None
) -> type[Placeholder]:
    """Return a class that stands for `module.qualname` in the value pickled in `raw`.

    Args:
        module: module that cannot be imported, or lacks the name.
        qualname: name in that module.
        raw: bytes of the whole pickle, kept for the user.
        cause: why it cannot be had.
    """
    package = _package(module)
    advice = _advice(module, qualname, package, cause)
    return cast("type[Placeholder]", _class(module, qualname, package, advice, raw))


def _made(kind: type[Placeholder], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Placeholder:
    return kind(*args, **kwargs)


def _class(module: str, qualname: str, install: str, advice: str, raw: bytes) -> PlaceholderType:
    fields = {
        "module": module,
        "qualname": qualname,
        "install": install,
        "advice": advice,
        "raw": raw,
        "__doc__": f"Stands for `{module}.{qualname}`.",
    }
    return PlaceholderType(qualname.rpartition(".")[2] or "Placeholder", (Placeholder,), fields)


def _reduced(kind: PlaceholderType) -> str | tuple[Any, ...]:
    if kind is Placeholder:
        return "Placeholder"
    shown = cast("type[Placeholder]", kind)
    return _class, (shown.module, shown.qualname, shown.install, shown.advice, shown.raw)


# The classes are made while a value is loaded, so pickle cannot find them by name.
copyreg.pickle(PlaceholderType, _reduced)


def _package(module: str) -> str:
    top = module.partition(".")[0]
    return "" if top in {"", "__main__", "__mp_main__"} else PACKAGES.get(top, top)


def _advice(module: str, qualname: str, package: str, cause: BaseException | None) -> str:
    own = "put that code on the path, or see run.code.extract()"
    if not package:
        return f"{qualname} was defined in the flow's own code; {own}"
    if cause is None or _absent(module, cause):
        return f"pip install {package}; or, if {module} is the flow's own code, {own}"
    if isinstance(cause, AttributeError):
        return f"the installed {package} has no {qualname}; install the version that wrote it"
    return f"importing {module} failed with {type(cause).__name__}: {cause}"


def _absent(module: str, cause: BaseException) -> bool:
    # A module that is there but imports something missing has to name that other module.
    missing = getattr(cause, "name", None) if isinstance(cause, ModuleNotFoundError) else None
    return missing is not None and (module == missing or module.startswith(f"{missing}."))
