"""Which plugins there are: what is installed, and what of it is wanted."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from mfc.errors import BadSetting, PluginConflict

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from mfc.hookspecs import Capabilities

GROUP = "mfc"
#: The setting with rules about plugins, separated by commas; see `Selection`.
SETTING = "MFC_PLUGINS"
_EXPECTED = "names: 'local' for only these, '-teams' to switch off, 's3=mfc-s3' to pin"


@functools.cache
def installed() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entry points of all installed plugins by name; listed once per process."""
    from importlib.metadata import entry_points  # 30 ms, and only clients that ask need it

    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # The same distribution may be found twice, when it lies in two places of the path.
        found.setdefault(entry.name, {}).setdefault(described(entry), entry)
    return {name: tuple(claims.values()) for name, claims in found.items()}


def described(entry: EntryPoint) -> str:
    """Return the distribution that an entry point is of, and its version."""
    distribution = entry.dist
    return f"{distribution.name} {distribution.version}" if distribution else entry.value


@attrs.frozen
class Selection:
    """Which of the installed plugins a client uses.

    Rules are texts: `local` restricts to the plugins named so, `-teams` switches one off,
    `s3=mfc-s3` says which distribution serves a name that several have.
    """

    only: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    pins: Mapping[str, str] = attrs.field(factory=dict)

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
            name, mark, distribution = rule.strip().partition("=")
            bare = name.removeprefix("-")
            if not bare or (mark and not distribution) or (mark and bare != name):
                raise BadSetting(SETTING, rule, source, _EXPECTED)
            if mark:
                pins[name] = distribution
            elif bare != name:
                off.add(bare)
            else:
                only.add(name)
        return cls(frozenset(only), frozenset(off), pins)

    def wants(self, name: str) -> bool:
        """Tell whether the plugin of this name is used."""
        return name not in self.off and (not self.only or name in self.only)

    def entry(self, name: str) -> EntryPoint:
        """Return the entry point of a name.

        Raises:
            PluginConflict: several distributions have it, and none is pinned.
        """
        claims = installed()[name]
        if name in self.pins:
            claims = tuple(e for e in claims if e.dist and e.dist.name == self.pins[name])
            if not claims:
                raise BadSetting(
                    SETTING,
                    f"{name}={self.pins[name]}",
                    "the rules about plugins",
                    f"one of {', '.join(map(described, installed()[name]))}",
                )
        if len(claims) > 1:
            raise PluginConflict(
                repr(name),
                tuple(sorted(map(described, claims))),
                f"pin one with {SETTING}='{name}=DISTRIBUTION' or "
                f"Client(plugins=['{name}=DISTRIBUTION'])",
            )
        return claims[0]


@attrs.frozen
class PluginInfo:
    """What is known of a plugin; `mfc.plugins()` lists them."""

    #: The kinds that it serves: names of its entry points.
    kinds: tuple[str, ...]
    distribution: str
    version: str
    #: The module's file; None if it did not load.
    file: str | None = None
    #: The hooks that it implements.
    hooks: tuple[str, ...] = ()
    #: What its metadata provider does itself, if it says so.
    capabilities: Capabilities | None = None
    #: Milliseconds that it took to load.
    load_ms: float = 0.0
    #: Switched off, or left out by a restriction to others.
    off: bool = False
    #: Why it cannot be used.
    error: str | None = None


def advice(kind: str | None) -> str:
    """Return what to install for a kind that nobody serves, as far as that is known."""
    import json  # only errors need it
    from importlib.resources import files

    known = json.loads((files("mfc") / "known_kinds.json").read_text(encoding="utf-8"))
    return f"pip install {known[kind]}; " if kind in known else ""


def values(info: PluginInfo) -> dict[str, Any]:
    """Return a plugin's facts as JSON can hold them."""
    found = attrs.asdict(info, recurse=False)
    if info.capabilities is not None:
        found["capabilities"] = {
            name: support.value
            for name, support in attrs.asdict(info.capabilities, recurse=False).items()
        }
    return found
