"""Which plugins there are: what is installed, and what of it is wanted."""

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
    """That a distribution serves a kind, by an entry point."""

    kind: str
    distribution: str
    version: str
    entry: Entry

    @property
    def title(self) -> str:
        """Distribution and version, as errors name them."""
        return f"{self.distribution} {self.version}".strip() or self.entry.value

    @property
    def plugin(self) -> str:
        """What several claims on one module or object have in common."""
        return f"{self.title} ({self.entry.value})"

    @property
    def names(self) -> frozenset[str]:
        """What a rule may call it: its kind, its distribution."""
        return frozenset((_plain(self.kind), _plain(self.distribution)))


def installed() -> Mapping[str, tuple[Claim, ...]]:
    """Return what all installed plugins claim, by kind; listed once per process."""
    with _LISTING:
        return _listed()


@functools.cache
def _listed() -> Mapping[str, tuple[Claim, ...]]:
    found: dict[str, dict[str, Claim]] = {}
    claims = [Claim(e.name, e.distribution, e.version, e) for e in entries(GROUP)]
    for claim in sorted(claims, key=lambda claim: (claim.kind, claim.plugin)):
        # The same distribution may be found twice, when it lies in two places of the path.
        found.setdefault(claim.kind, {}).setdefault(claim.title, claim)
    return {kind: tuple(claims.values()) for kind, claims in found.items()}


def _plain(name: str) -> str:
    """Return a name as installers compare them: `Mfc_S3` is `mfc-s3`."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


class Selection(NamedTuple):
    """Which of the installed plugins a client uses.

    Rules are texts: `local` restricts to the plugins named so, `-teams` switches one off,
    `s3=mfc-s3` says which distribution serves a kind that several claim. A plugin is named by a
    kind that it serves or by its distribution.
    """

    only: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    #: Distribution by kind.
    pins: Mapping[str, str] = MappingProxyType({})
    #: Where the rules come from, for errors.
    source: str = ""

    @classmethod
    def of(cls, rules: Iterable[str], source: str) -> Selection:
        """Return the selection that rules spell.

        Args:
            rules: as above.
            source: where they come from, for errors.

        Raises:
            BadSetting: a rule is none.

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
        """Tell whether a claim counts, as far as it is not settled by a pin."""
        return not claim.names & self.off and (not self.only or bool(claim.names & self.only))

    def kinds(self) -> list[str]:
        """Return the kinds that installed plugins serve and that are wanted, sorted."""
        return [kind for kind, claims in installed().items() if any(map(self.wants, claims))]

    def claim(self, kind: str) -> Claim:
        """Return the claim on a kind that counts.

        Raises:
            PluginConflict: several distributions have it, and none is pinned.
            BadSetting: one is pinned that has not.
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
        """Return the names in rules that no installed plugin has: typing errors, perhaps."""
        claims = [claim for found in installed().values() for claim in found]
        known = frozenset[str]().union(*(claim.names for claim in claims))
        return sorted({*self.only, *self.off, *self.pins} - known)


@attrs.frozen
class PluginInfo:
    """What is known of a plugin; `mfc.plugins()` lists them."""

    #: What errors and traces call it.
    name: str
    #: The kinds that it serves: names of its entry points.
    kinds: tuple[str, ...] = ()
    #: Empty for what was registered in the process.
    distribution: str = ""
    version: str = ""
    #: The module's file; None if it did not load, or has none.
    file: str | None = None
    #: The hooks that it implements.
    hooks: tuple[str, ...] = ()
    #: What its metadata provider does itself, if it says so.
    capabilities: Capabilities | None = None
    #: Milliseconds that it took to load.
    load_ms: float = 0.0
    #: Switched off, left out by a restriction to others, or another one is pinned.
    off: bool = False
    #: Why it cannot be used, or what failed.
    error: str | None = None

    @classmethod
    def of(cls, claim: Claim, *, off: bool = False, error: str | None = None) -> PluginInfo:
        """Return what is known of a plugin that is not loaded."""
        kinds = (claim.kind,)
        return cls(claim.plugin, kinds, claim.distribution, claim.version, off=off, error=error)


def advice(kind: str | None, *, metadata: bool) -> str:
    """Return what to install for a kind that no plugin serves, as far as that is known.

    Args:
        kind: what addresses of metadata begin with, a datastore type, or an encoding.
        metadata: whether metadata is wanted, rather than values.
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
    """Return a plugin's facts as JSON can hold them."""
    found = attrs.asdict(info, recurse=False)
    if info.capabilities is not None:
        found["capabilities"] = {
            name: support.value
            for name, support in attrs.asdict(info.capabilities, recurse=False).items()
        }
    return found
