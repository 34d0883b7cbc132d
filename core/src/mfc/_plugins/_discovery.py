"""Discovery of installed plugins, and the rules that select among them."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from mfc._concurrency._forks import fork_safe
from mfc._plugins._installed import Entry, entries
from mfc.errors import BadSetting, PluginConflict

if TYPE_CHECKING:
    from mfc.hookspecs import Capabilities

GROUP = "mfc"
#: The setting with rules about plugins, separated by commas; see `Selection`.
SETTING = "MFC_PLUGINS"
_EXPECTED = "names: 'local' for only these, '-teams' to switch off, 's3=mfc-s3' to pin"
_LISTING = fork_safe(threading.RLock())


class Claim(NamedTuple):
    """An entry point by which a distribution serves a kind."""

    kind: str
    distribution: str
    version: str
    entry: Entry

    @property
    def title(self) -> str:
        """Distribution and version, for errors."""
        return f"{self.distribution} {self.version}".strip() or self.entry.value

    @property
    def plugin(self) -> str:
        """The name shared by all claims on the same module or object."""
        return f"{self.title} ({self.entry.value})"

    @property
    def names(self) -> frozenset[str]:
        """Names for it in rules: its kind and its distribution."""
        return frozenset((_plain(self.kind), _plain(self.distribution)))


def installed() -> Mapping[str, tuple[Claim, ...]]:
    """Return the claims of all installed plugins by kind; listed once per process."""
    with _LISTING:
        return _listed()


@functools.cache
def _listed() -> Mapping[str, tuple[Claim, ...]]:
    found: dict[str, dict[str, Claim]] = {}
    claims = [Claim(e.name, e.distribution, e.version, e) for e in entries(GROUP)]
    for claim in sorted(claims, key=lambda claim: (claim.kind, claim.plugin)):
        # A distribution may be found twice, in two places of the path.
        found.setdefault(claim.kind, {}).setdefault(claim.title, claim)
    return {kind: tuple(claims.values()) for kind, claims in found.items()}


def _plain(name: str) -> str:
    """Return a name in the form that installers compare: `Mfc_S3` is `mfc-s3`."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


class Selection(NamedTuple):
    """The installed plugins that a client uses.

    Rules are texts: `local` restricts to the plugins of that name, `-teams` switches one off,
    `s3=mfc-s3` pins a kind to one of several distributions that claim it. A plugin is named by a
    kind that it serves or by its distribution.
    """

    only: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    #: Distribution by kind.
    pins: Mapping[str, str] = MappingProxyType({})
    #: Source of the rules, for errors.
    source: str = ""

    @classmethod
    def of(cls, rules: Iterable[str], source: str) -> Selection:
        """Return the selection for a list of rules.

        Args:
            rules: as above.
            source: where they come from, for errors.

        Raises:
            BadSetting: a rule is invalid.

        >>> Selection.of(["-teams", "s3=mfc-s3"], "here").off
        frozenset({'teams'})
        """
        only, off, pins = set(), set(), {}
        for rule in rules:
            name, mark, distribution = (part.strip() for part in rule.partition("="))
            bare = name.removeprefix("-")
            if not bare or (mark and not distribution) or (mark and bare != name):
                raise BadSetting(SETTING, rule, source, _EXPECTED)
            if mark:
                pins[_plain(name)] = _plain(distribution)
            elif bare != name:
                off.add(_plain(bare))
            else:
                only.add(_plain(name))
        return cls(frozenset(only), frozenset(off), pins, source)

    def wants(self, claim: Claim) -> bool:
        """Tell whether a claim is selected, apart from pins."""
        return not claim.names & self.off and (not self.only or bool(claim.names & self.only))

    def kinds(self) -> list[str]:
        """Return the selected kinds of installed plugins, sorted."""
        return [kind for kind, claims in installed().items() if any(map(self.wants, claims))]

    def claim(self, kind: str) -> Claim:
        """Return the selected claim on a kind.

        Raises:
            PluginConflict: several distributions claim it, without a pin.
            BadSetting: the pinned distribution does not claim it.
        """
        claims = [claim for claim in installed()[kind] if self.wants(claim)]
        pin = self.pins.get(_plain(kind))
        if pin is not None:
            pinned = [claim for claim in claims if _plain(claim.distribution) == pin]
            if not pinned:
                known = ", ".join(claim.title for claim in claims)
                raise BadSetting(SETTING, f"{kind}={pin}", self.source, f"one of {known}")
            claims = pinned
        if len(claims) > 1:
            rule = f"'{kind}={claims[0].distribution}'"
            raise PluginConflict(
                repr(kind),
                tuple(sorted(claim.title for claim in claims)),
                f"pin one with {SETTING}={rule} or Client(plugins=[{rule}])",
            )
        return claims[0]

    def idle(self) -> list[str]:
        """Return the names in rules that match no installed plugin, perhaps typing errors."""
        claims = [claim for found in installed().values() for claim in found]
        known = frozenset[str]().union(*(claim.names for claim in claims))
        return sorted({*self.only, *self.off, *self.pins} - known)


@attrs.frozen
class PluginInfo:
    """Details of a plugin; `mfc.plugins()` lists them."""

    #: Its name in errors and traces.
    name: str
    #: The kinds that it serves: names of its entry points.
    kinds: tuple[str, ...] = ()
    #: Empty for a plugin registered in the process.
    distribution: str = ""
    version: str = ""
    #: The module's file; None without one, or if it did not load.
    file: str | None = None
    #: The hooks that it implements.
    hooks: tuple[str, ...] = ()
    #: Declared capabilities of its metadata provider, if any.
    capabilities: Capabilities | None = None
    #: Milliseconds that it took to load.
    load_ms: float = 0.0
    #: Whether rules exclude it: switched off, restricted to others, or another one is pinned.
    off: bool = False
    #: The reason why it cannot be used, or the failure.
    error: str | None = None

    @classmethod
    def of(cls, claim: Claim, *, off: bool = False, error: str | None = None) -> PluginInfo:
        """Return the details of a plugin that is not loaded."""
        kinds = (claim.kind,)
        return cls(claim.plugin, kinds, claim.distribution, claim.version, off=off, error=error)


def advice(kind: str | None, *, metadata: bool) -> str:
    """Return advice on the distribution to install for a kind, if it is known.

    Args:
        kind: the prefix of a metadata address, a datastore type, or an encoding.
        metadata: whether the kind is one of metadata, not of values.
    """
    from mfc._plugins._known_kinds import METADATA, VALUES  # only errors need it

    known = (METADATA if metadata else VALUES).get(kind or "")
    if known is None:
        return ""
    if getattr(sys, "frozen", False):
        module = known.replace("-", "_")
        return f"this application has to bundle {known}, its metadata and module {module}; "
    return f"pip install {known}; "


def values(info: PluginInfo) -> dict[str, Any]:
    """Return a plugin's details as values for JSON."""
    found = attrs.asdict(info, recurse=False)
    if info.capabilities is not None:
        found["capabilities"] = {
            name: support.value
            for name, support in attrs.asdict(info.capabilities, recurse=False).items()
        }
    return found
