"""Every exception that mfc raises, drawn as a tree.

Classes that Metaflow has keep Metaflow's names. Where Metaflow's client raises a builtin
exception, the class here is also that builtin, so code that catches either keeps working::

    MetaflowException
    ├── BadArgument                    an argument of a function (also ValueError)
    │   ├── MetaflowInvalidPathspec    not a pathspec
    │   │   └── EmptyPathspec          nothing was given (also TypeError)
    │   └── BadAddress                 metadata("…") cannot be used
    ├── MetaflowNotFound               no such object
    │   ├── BadAttempt                 not the number of an attempt (also BadArgument)
    │   ├── NoTasks                    a step without tasks (also ValueError)
    │   ├── ChildNotFound              parent["name"] (also KeyError)
    │   │   └── BadChildName           it could not exist (also MetaflowInvalidPathspec)
    │   └── ArtifactNotFound           task.data.name (also AttributeError)
    ├── MetaflowNamespaceMismatch      it exists, outside the namespace
    ├── MetaflowUnknownUser            no environment variable names the user
    ├── MetaflowTaggingError           tags refused, or not written
    │   └── BadTag                     not a tag (also BadArgument)
    ├── MetaflowInternalError          a record contradicts itself
    ├── BadSetting                     a configuration value (also ValueError)
    │   └── BadSettingsFile            a whole file of them
    ├── UnreadableRecord               metadata that cannot be read or understood
    │   └── Unanswered                 the backend does not answer
    ├── DatastoreError                 the value behind a record
    │   ├── MetaflowDataMissing        its bytes are gone
    │   ├── CorruptBlob                its bytes hash to something else
    │   ├── UnreadableBlob             its bytes cannot be read
    │   ├── UnknownEncoding            no decoder for how it was written
    │   ├── UndecodableArtifact        the decoder failed
    │   └── UntrustedValue             loading it would run code that the client does not trust
    ├── MissingLibrary                 an optional library is not installed (also ImportError)
    ├── BadCodePackage                 not a code package, or an unsafe one
    └── PluginError                    a plugin is missing, broken or in conflict
        ├── BrokenPlugin               it does not load, is for another contract, or failed
        ├── PluginNotFound             no installed plugin serves that kind
        │   └── UnservedAddress        of metadata (also BadAddress)
        └── PluginConflict             several plugins serve that kind

Warnings are `MfcWarning`.
"""

from __future__ import annotations

import re
import reprlib
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

#: Modules skipped when a warning looks for the caller's line: mfc, its plugins, thread pools.
_OURS = re.compile(r"mfc(_\w+)?|threading|concurrent|functools")
Argument = TypeVar("Argument", bound="BadArgument")

#: Characters of a value that an error shows.
_LONGEST = 200
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _LONGEST


def visible(text: str) -> str:
    r"""Return text from a store or a user on one line, safe to show.

    Control characters, line breaks, marks that reorder text, and lone surrogates are spelled as
    in a string literal.

    >>> print(visible("two\nlines \x1b[31m \u202e"))
    two\nlines \x1b[31m \u202e
    """
    if text.isprintable():
        return text
    spelled = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(spelled)


def shown(value: object) -> str:
    """Return the repr of any value for an error message, on one line and cut at 200 characters.

    >>> print(shown("a"), shown([1, None]))
    'a' [1, None]
    """
    try:
        text = visible(_SHORT.repr(value))
    except Exception:  # noqa: BLE001 - a repr may run any code
        text = object.__repr__(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class MfcWarning(UserWarning):
    """Something was left out or assumed; the text says what it was and how to react."""

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))


def warn(text: str) -> None:
    """Emit an `MfcWarning` that points at the caller's line outside mfc; plugins may use it.

    Args:
        text: the thing left out or assumed, and how to react.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    level, plugin = 2, _package(sys._getframe(1))  # noqa: SLF001
    while frame is not None and (_OURS.fullmatch(_package(frame)) or _package(frame) == plugin):
        frame, level = frame.f_back, level + 1
    # A thread started by mfc has no line of the caller on its stack.
    warnings.warn(text, MfcWarning, stacklevel=2 if frame is None else level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


class MetaflowException(Exception):
    """Base class of every mfc error; `message` is the sentence that `str()` gives.

    Text from a store or a user is spelled as by `visible`.
    """

    #: Metaflow's title for the class of error.
    headline = "Metaflow client error"

    def __init__(self, message: str = "") -> None:
        self.message = message

    @property
    def message(self) -> str:
        """The sentence, on one line."""
        return self._message

    @message.setter
    def message(self, text: str) -> None:
        self._message = visible(text)

    def __str__(self) -> str:
        return self.message


class BadArgument(MetaflowException, ValueError):
    """An argument is outside the possible values."""

    headline = "Invalid argument"

    @classmethod
    def of(cls: type[Argument], name: str, value: object, expected: str) -> Argument:
        """Return the error for a bad value of a parameter.

        Args:
            name: the parameter.
            value: the bad value.
            expected: the possible values, with an example where it helps.

        >>> print(BadArgument.of("limit", -1, "a whole number, 0 or more"))
        limit is -1; expected a whole number, 0 or more
        """
        return cls(f"{name} is {shown(value)}; expected {expected}")


class MetaflowInvalidPathspec(BadArgument):
    """The argument is not a pathspec of the expected kind."""

    headline = "Invalid pathspec"


class EmptyPathspec(MetaflowInvalidPathspec, TypeError):
    """The pathspec is missing or empty."""


class MetaflowNotFound(MetaflowException):
    """The object does not exist at this metadata provider.

    Args:
        message: the sentence.
        hint: returns a sentence on where to look instead. It may read metadata, so it is called
            when the message is shown, not when the error is raised: many callers only test
            whether an object exists.
    """

    headline = "Object not found"

    def __init__(self, message: str = "", hint: Callable[[], str] | None = None) -> None:
        self.message, self.hint = message, hint
        self.args = (message,)

    @property
    def message(self) -> str:
        """The sentence, followed by the hint."""
        if self.hint is not None:
            hint, self.hint = self.hint, None
            self._message = visible(f"{self._message}. {hint()}")
        return self._message

    @message.setter
    def message(self, text: str) -> None:
        self._message = visible(text)

    def __reduce__(self) -> str | tuple[Any, ...]:
        self.message  # noqa: B018 - the hint belongs to this process
        return super().__reduce__()


class BadAttempt(MetaflowNotFound, BadArgument):
    """Not an attempt number; Metaflow raises MetaflowNotFound for it."""


class ChildNotFound(MetaflowNotFound, KeyError):
    """`parent[name]` does not exist.

    Args:
        parent: repr of the parent, `Run('F/1')`.
        name: the requested child.
        hint: see `MetaflowNotFound`.
    """

    def __init__(self, parent: str, name: object, hint: Callable[[], str] | None = None) -> None:
        self.parent, self.name = parent, name
        super().__init__(f"{parent} has no child {shown(name)}", hint)
        self.args = (parent, name)


class BadChildName(ChildNotFound, MetaflowInvalidPathspec):
    """`parent[name]` with an impossible name: empty, `.`, `..`, or with `/`."""

    def __init__(self, parent: str, name: object) -> None:
        super().__init__(parent, name)
        self.message = f"{self.message}; expected text that can be a name"


class NoTasks(MetaflowNotFound, ValueError):
    """The step has no tasks, and the operation needs one."""


class ArtifactNotFound(MetaflowNotFound, AttributeError):
    """`task.data.name` does not exist.

    Args:
        parent: repr of the task.
        name: the requested artifact.
        hint: see `MetaflowNotFound`.
    """

    def __init__(self, parent: str, name: str, hint: Callable[[], str] | None = None) -> None:
        self.parent, self.name = parent, name
        super().__init__(f"{parent} has no artifact {shown(name)}", hint)
        self.args = (parent, name)


class MetaflowNamespaceMismatch(MetaflowException):
    """The object exists, but is not in the namespace.

    Args:
        namespace: the namespace in effect.
        subject: the object, as text; empty when not known.
    """

    headline = "Object not in the current namespace"

    def __init__(self, namespace: str | None, subject: str = "") -> None:
        self.namespace, self.subject = namespace, subject
        self.message = (
            f"{subject or 'Object'} not in namespace '{namespace}'; "
            "namespace(None) makes every object accessible"
        )


class MetaflowUnknownUser(MetaflowException):
    """No environment variable names the user."""

    headline = "Unknown user"

    def __init__(self) -> None:
        self.message = (
            "No user name in METAFLOW_USER, SUDO_USER, USERNAME or USER (root does not count); "
            "set one of them, or choose a namespace with namespace('user:NAME') or namespace(None)"
        )


class MetaflowTaggingError(MetaflowException):
    """The tags break a rule, or could not be written."""

    headline = "Tagging error"


class BadTag(MetaflowTaggingError, BadArgument):
    """The argument is not a tag, or not a collection of tags."""


class MetaflowInternalError(MetaflowException):
    """A record contradicts itself or is newer than this client."""

    headline = "Internal error"


class BadSetting(MetaflowException, ValueError):
    """A configuration value has the wrong type or form.

    Args:
        name: full name, `METAFLOW_…`.
        value: the value found.
        source: where it was found: the environment or a file.
        expected: the possible values.
    """

    headline = "Invalid configuration"

    def __init__(self, name: str, value: object, source: str, expected: str) -> None:
        self.name, self.value, self.source, self.expected = name, value, source, expected
        self.message = f"{name} is {shown(value)} in {source}; expected {expected}"


class BadSettingsFile(BadSetting):
    """A settings file is missing, unreadable or not a JSON object.

    Args:
        path: the file.
        reason: the problem with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        self.message = f"Settings in {path} cannot be read: {reason}"


class BadAddress(BadArgument):
    """A metadata address cannot be used."""

    headline = "Invalid metadata address"


class UnreadableRecord(MetaflowException):
    """Metadata exists but cannot be read or understood.

    Args:
        source: file or URL.
        reason: the cause.
    """

    headline = "Unreadable metadata"

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        self.message = f"Cannot read {source}: {reason}"


class Unanswered(UnreadableRecord):
    """The backend as a whole did not answer; no single record is at fault or left out."""

    headline = "Metadata not available"


class DatastoreError(MetaflowException):
    """The value behind a record cannot be read.

    Args:
        subject: an artifact's pathspec, a log, or a code package.
        location: where it was looked for.
        reason: why it cannot be read, and what to do.
    """

    headline = "Datastore error"

    def __init__(self, subject: str, location: str, reason: str) -> None:
        self.subject, self.location, self.reason = subject, location, reason
        where = f" ({location})" if location else ""
        self.message = f"{subject}: {reason}{where}"


class MetaflowDataMissing(DatastoreError):
    """The record exists, but its bytes are missing."""

    headline = "Data missing"


class CorruptBlob(DatastoreError):
    """The bytes do not hash to the recorded SHA-1."""


class UnreadableBlob(DatastoreError):
    """The bytes cannot be read: permission denied, no filesystem for them, or no answer."""


class UnknownEncoding(DatastoreError):
    """No decoder reads the encoding that the artifact was written with."""


class UndecodableArtifact(DatastoreError):
    """The decoder failed on verified bytes."""


class UntrustedValue(DatastoreError):
    """Loading the value would run code that the client does not trust."""


class MissingLibrary(MetaflowException, ImportError):
    """An optional library is not installed.

    Args:
        name: what to install.
    """

    headline = "Missing library"

    def __init__(self, name: str) -> None:
        self.name = name
        self.message = f"This needs {name}, which is not installed: pip install {name}"


class BadCodePackage(MetaflowException):
    """The archive is not a Metaflow code package, or an unsafe one.

    Args:
        location: where the package is.
        reason: the problem with it.
    """

    headline = "Invalid code package"

    def __init__(self, location: str, reason: str) -> None:
        self.location, self.reason = location, reason
        self.message = f"Code package {location}: {reason}"


class PluginError(MetaflowException):
    """A plugin could not be used."""

    headline = "Plugin error"


class BrokenPlugin(PluginError):
    """A plugin does not load, is written for another contract, or one of its hooks failed.

    Args:
        plugin: its name in listings and traces.
        reason: the problem with it; a library's exception is chained as the cause.
        distribution: the installed distribution it belongs to; empty without one.
        version: version of the distribution.
    """

    def __init__(self, plugin: str, reason: str, distribution: str = "", version: str = "") -> None:
        self.plugin, self.reason = plugin, reason
        self.distribution, self.version = distribution, version
        self.message = f"Plugin {plugin}: {reason}"


class PluginNotFound(PluginError):
    """No installed plugin serves the kind.

    Args:
        kind: the missing service, such as `metadata provider 'service'`.
        advice: which plugin to install, and which are installed.
    """

    def __init__(self, kind: str, advice: str) -> None:
        self.kind, self.advice = kind, advice
        self.message = f"No plugin serves {kind}; {advice}"


class UnservedAddress(PluginNotFound, BadAddress):
    """No installed plugin serves a metadata address."""


class PluginConflict(PluginError):
    """Several plugins claim the same thing.

    Args:
        kind: the contested service.
        claims: the plugins that claim it.
        advice: how to choose one.
    """

    def __init__(self, kind: str, claims: tuple[str, ...], advice: str) -> None:
        self.kind, self.claims, self.advice = kind, claims, advice
        self.message = f"Several plugins serve {kind}: {', '.join(claims)}; {advice}"
