"""Every exception that mfc raises, drawn as a tree.

Names that Metaflow has are Metaflow's. A class that replaces a builtin exception in
Metaflow's client is that builtin too, so code that catches either keeps working::

    MetaflowException
    ├── BadArgument                    an argument of a function (also ValueError)
    │   ├── MetaflowInvalidPathspec    not a pathspec
    │   │   └── EmptyPathspec          nothing was given (also TypeError)
    │   └── BadAddress                 metadata("…") leads nowhere
    ├── MetaflowNotFound               no such object
    │   ├── BadAttempt                 not the number of an attempt (also BadArgument)
    │   ├── NoTasks                    a step has none (also ValueError)
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
    │   └── Unanswered                 nothing is known of it: the backend does not answer
    ├── DatastoreError                 the value behind a record
    │   ├── MetaflowDataMissing        its bytes are gone
    │   ├── CorruptBlob                its bytes hash to something else
    │   ├── UnreadableBlob             its bytes may not be read, or no filesystem can
    │   ├── UnknownEncoding            no decoder for how it was written
    │   ├── UndecodableArtifact        the decoder failed
    │   └── UntrustedValue             loading it would run code that the client does not trust
    ├── BadCodePackage                 an archive that is no code package
    └── PluginError                    a plugin is missing, broken or in conflict
        ├── BrokenPlugin               it does not load, is for another contract, or failed
        ├── PluginNotFound             nobody serves that kind
        │   └── UnservedAddress        of metadata (also BadAddress)
        └── PluginConflict             several do

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

#: Modules whose lines are not those of whoever asked: mfc, its plugins, and what runs threads.
_OURS = re.compile(r"mfc(_\w+)?|threading|concurrent|functools")
Argument = TypeVar("Argument", bound="BadArgument")

#: Characters of a value that an error shows.
_LONGEST = 200
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _LONGEST


def visible(text: str) -> str:
    r"""Return text of a store or a user in a form that is safe to show, on one line.

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
    """Return any value as errors show it: its repr on one line, cut at 200 characters.

    >>> print(shown("a"), shown([1, None]))
    'a' [1, None]
    """
    try:
        text = visible(_SHORT.repr(value))
    except Exception:  # noqa: BLE001 - a repr may run any code
        text = object.__repr__(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class MfcWarning(UserWarning):
    """Something was left out or assumed; the text says what, and what to do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))


def warn(text: str) -> None:
    """Give an `MfcWarning` that points at the line of the program that asked; for plugins, too.

    Args:
        text: what was left out or assumed, and what to do.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    level, plugin = 2, _package(sys._getframe(1))  # noqa: SLF001
    while frame is not None and (_OURS.fullmatch(_package(frame)) or _package(frame) == plugin):
        frame, level = frame.f_back, level + 1
    # A thread of ours has no such line.
    warnings.warn(text, MfcWarning, stacklevel=2 if frame is None else level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


class MetaflowException(Exception):
    """Root of every error of mfc; `message` is the sentence that `str()` gives.

    Text of a store or a user is spelled in it as `visible` does.
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
    """An argument is not one of the values that are possible."""

    headline = "Invalid argument"

    @classmethod
    def of(cls: type[Argument], name: str, value: object, expected: str) -> Argument:
        """Return the error for a value that was given.

        Args:
            name: the parameter.
            value: what was given for it.
            expected: what is possible, and where it helps an example.

        >>> print(BadArgument.of("limit", -1, "a whole number, 0 or more"))
        limit is -1; expected a whole number, 0 or more
        """
        return cls(f"{name} is {shown(value)}; expected {expected}")


class MetaflowInvalidPathspec(BadArgument):
    """What was given is not a pathspec of the wanted kind."""

    headline = "Invalid pathspec"


class EmptyPathspec(MetaflowInvalidPathspec, TypeError):
    """No pathspec was given at all."""


class MetaflowNotFound(MetaflowException):
    """The object does not exist at this metadata provider.

    Args:
        message: the sentence.
        hint: gives a sentence on where to look instead. It may read, so it is called when the
            message is shown, not when the error is raised: many callers only ask whether
            something is there.
    """

    headline = "Object not found"

    def __init__(self, message: str = "", hint: Callable[[], str] | None = None) -> None:
        self.message, self.hint = message, hint
        self.args = (message,)

    @property
    def message(self) -> str:
        """The sentence, and the hint."""
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
    """The number of an attempt is expected; Metaflow raises MetaflowNotFound for anything else."""


class ChildNotFound(MetaflowNotFound, KeyError):
    """`parent[name]` does not exist.

    Args:
        parent: how the parent shows itself, `Run('F/1')`.
        name: the child that was asked for.
        hint: as of `MetaflowNotFound`.
    """

    def __init__(self, parent: str, name: object, hint: Callable[[], str] | None = None) -> None:
        self.parent, self.name = parent, name
        super().__init__(f"{parent} has no child {shown(name)}", hint)
        self.args = (parent, name)


class BadChildName(ChildNotFound, MetaflowInvalidPathspec):
    """`parent[name]` with a name that nothing can have: empty, `.`, `..`, or with `/`."""

    def __init__(self, parent: str, name: object) -> None:
        super().__init__(parent, name)
        self.message = f"{self.message}; expected text that can be a name"


class NoTasks(MetaflowNotFound, ValueError):
    """A step without tasks was asked for something of its tasks."""


class ArtifactNotFound(MetaflowNotFound, AttributeError):
    """`task.data.name` does not exist.

    Args:
        parent: how the task shows itself.
        name: the artifact that was asked for.
        hint: as of `MetaflowNotFound`.
    """

    def __init__(self, parent: str, name: str, hint: Callable[[], str] | None = None) -> None:
        self.parent, self.name = parent, name
        super().__init__(f"{parent} has no artifact {shown(name)}", hint)
        self.args = (parent, name)


class MetaflowNamespaceMismatch(MetaflowException):
    """The object exists, but is not in the namespace.

    Args:
        namespace: the namespace that was asked for.
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
    """No environment variable tells who the user is."""

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
    """What was given is not a tag, or not a collection of tags."""


class MetaflowInternalError(MetaflowException):
    """What was recorded contradicts itself or is newer than this client."""

    headline = "Internal error"


class BadSetting(MetaflowException, ValueError):
    """A configuration value is not of its kind.

    Args:
        name: full name, `METAFLOW_…`.
        value: what was found.
        source: where it was found: `environment` or a file.
        expected: what it should have been.
    """

    headline = "Invalid configuration"

    def __init__(self, name: str, value: object, source: str, expected: str) -> None:
        self.name, self.value, self.source, self.expected = name, value, source, expected
        self.message = f"{name} is {shown(value)} in {source}; expected {expected}"


class BadSettingsFile(BadSetting):
    """A file with settings is missing, unreadable or no JSON object.

    Args:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        self.message = f"Settings in {path} cannot be read: {reason}"


class BadAddress(BadArgument):
    """A metadata address leads nowhere."""

    headline = "Invalid metadata address"


class UnreadableRecord(MetaflowException):
    """Metadata exists but cannot be read or understood.

    Args:
        source: file or URL.
        reason: why.
    """

    headline = "Unreadable metadata"

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        self.message = f"Cannot read {source}: {reason}"


class Unanswered(UnreadableRecord):
    """The backend as a whole gave no answer: not one record is at fault, and none is left out."""

    headline = "Metadata not available"


class DatastoreError(MetaflowException):
    """The value behind a record cannot be had.

    Args:
        subject: what was wanted: an artifact's pathspec, a log, a code package.
        location: where it was looked for.
        reason: why it cannot be had, and what to do.
    """

    headline = "Datastore error"

    def __init__(self, subject: str, location: str, reason: str) -> None:
        self.subject, self.location, self.reason = subject, location, reason
        where = f" ({location})" if location else ""
        self.message = f"{subject}: {reason}{where}"


class MetaflowDataMissing(DatastoreError):
    """The record is there, its bytes are not."""

    headline = "Data missing"


class CorruptBlob(DatastoreError):
    """The bytes do not hash to the recorded SHA-1."""


class UnreadableBlob(DatastoreError):
    """The bytes may not be read, or the store did not answer."""


class UnknownEncoding(DatastoreError):
    """No decoder for the encoding that the artifact was written with."""


class UndecodableArtifact(DatastoreError):
    """The decoder failed on bytes that are right."""


class UntrustedValue(DatastoreError):
    """Loading the value would run code that the client does not trust."""


class BadCodePackage(MetaflowException):
    """An archive that is no code package of Metaflow, or an unsafe one.

    Args:
        location: where the package is.
        reason: what is wrong with it.
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
        plugin: what listings and traces call it.
        reason: what is wrong with it; a library's exception is the cause of this one.
        distribution: what it was installed with; empty if it was not.
        version: of the distribution.
    """

    def __init__(self, plugin: str, reason: str, distribution: str = "", version: str = "") -> None:
        self.plugin, self.reason = plugin, reason
        self.distribution, self.version = distribution, version
        self.message = f"Plugin {plugin}: {reason}"


class PluginNotFound(PluginError):
    """No installed plugin serves what was asked for.

    Args:
        kind: what was wanted, such as `metadata provider 'service'`.
        advice: what to install, and what is installed.
    """

    def __init__(self, kind: str, advice: str) -> None:
        self.kind, self.advice = kind, advice
        self.message = f"No plugin serves {kind}; {advice}"


class UnservedAddress(PluginNotFound, BadAddress):
    """No installed plugin serves a metadata address."""


class PluginConflict(PluginError):
    """Several plugins claim the same thing.

    Args:
        kind: what was wanted.
        claims: who claims it.
        advice: how to choose one.
    """

    def __init__(self, kind: str, claims: tuple[str, ...], advice: str) -> None:
        self.kind, self.claims, self.advice = kind, claims, advice
        self.message = f"Several plugins serve {kind}: {', '.join(claims)}; {advice}"
