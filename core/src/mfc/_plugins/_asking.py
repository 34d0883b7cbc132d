"""Calling the hooks of plugins: first the plugin of that name, others only if needed."""

from __future__ import annotations

import reprlib
import sys
import time
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mfc._arguments import plain
from mfc._plugins import defaults
from mfc._plugins._discovery import SETTING, PluginInfo, Selection, advice, installed
from mfc._plugins._guard import (
    Plugin,
    builders_of,
    check_methods,
    classes_of,
    decoder_of,
    events_of,
    filesystem_of,
    policy_of,
    provider_of,
)
from mfc._plugins._registry import Registry
from mfc.config import Config
from mfc.errors import (
    BadArgument,
    BrokenPlugin,
    MetaflowException,
    PluginConflict,
    PluginError,
    PluginNotFound,
    UnservedAddress,
    shown,
    warn,
)
from mfc.hookspecs import (
    ArtifactDecoder,
    Event,
    Filesystem,
    MetadataProvider,
    Meter,
    NamespacePolicy,
)

_STRICT, _TRACE = "MFC_STRICT_PLUGINS", "MFC_TRACE_PLUGINS"
#: Arguments left out of traces: they are the same at every call, and hold all settings.
_UNTRACED = ("config", "meter", "hooks")
#: Hooks that work without a backend, and the check of their answers.
_PROBES: dict[str, Callable[[Any, Plugin], object]] = {
    "mfc_metadata_provider": provider_of,
    "mfc_filesystem": filesystem_of,
    "mfc_namespace_policy": policy_of,
    "mfc_artifact_decoder": decoder_of,
    "mfc_trigger": events_of,
    "mfc_safe_classes": classes_of,
    "mfc_value_builders": builders_of,
}
#: Values that cannot have hooks.
_PLAIN = (int, float, complex, bytes, list, tuple, dict, set, frozenset, type(None))
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 200


class _Unmetered:
    """A `Meter` that discards its counts."""

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Discard the counts."""


class Plugins:
    """The plugins of one client.

    Args:
        chosen: rules about the installed plugins (see `Selection`), and modules or objects with
            further hook implementations.
        config: settings; `MFC_PLUGINS` holds the rules if `chosen` has none.

    Raises:
        BadSetting: a rule is invalid.
        PluginError: an object is not a plugin; with `MFC_STRICT_PLUGINS`, a plugin is broken.
    """

    def __init__(self, chosen: Iterable[object], config: Config) -> None:
        chosen = list(chosen)
        self._config = config
        self._trace, self._strict = config.flag(_TRACE), config.flag(_STRICT)
        self.registry = Registry(_selection(chosen, config))
        self._defaults = frozenset(map(self.registry.register, defaults.PLUGINS))
        for plugin in chosen:
            if isinstance(plain(plugin), _PLAIN):
                raise BadArgument.of("plugins", plugin, "rules about plugins, modules or objects")
            if not isinstance(plugin, str):
                self._register(plugin)
        if self._strict:
            self.registry.require_all()

    def _register(self, plugin: object) -> None:
        try:
            self.registry.register(plugin)
        except MetaflowException:
            raise
        except Exception as cause:  # an object that fails on inspection, such as an array
            expected = "rules about plugins, modules or objects"
            raise BadArgument.of("plugins", plugin, expected) from cause

    # Questions of the client

    def provider(self, address: str, meter: Meter) -> MetadataProvider:
        """Return the metadata provider at `address`.

        Raises:
            UnservedAddress: no plugin serves it.
            BadAddress: a plugin serves it, but it cannot be used.
        """
        kind = address.partition("@")[0] if "@" in address else address.partition(":")[0]
        arguments = self._arguments(address=address, meter=meter)
        what = f"metadata provider {shown(address)}"
        try:
            answer, plugin = self._ask("mfc_metadata_provider", kind, what, arguments)
        except PluginNotFound as missing:
            raise UnservedAddress(missing.kind, missing.advice) from None
        return provider_of(answer, plugin)

    def filesystem(self, ds_type: str, meter: Meter) -> Filesystem:
        """Return the filesystem that stores `ds_type`.

        Raises:
            PluginNotFound: neither a plugin nor fsspec serves it.
        """
        arguments = self._arguments(ds_type=ds_type, meter=meter)
        what = f"datastore type {shown(ds_type)}"
        return filesystem_of(*self._ask("mfc_filesystem", ds_type, what, arguments))

    def policy(self) -> NamespacePolicy:
        """Return the namespace policy.

        A warning says so when a default decides while a plugin does not load: that plugin may have
        stricter rules.
        """
        answer, plugin = self._ask("mfc_namespace_policy", None, "namespaces", self._arguments())
        if plugin.name in self._defaults and (broken := self.registry.load_all()):
            warn(
                f"Namespaces are decided without plugins that cannot be used: {'; '.join(broken)}",
            )
        return policy_of(answer, plugin)

    def events(self, metadata: Mapping[str, Any]) -> list[Event] | None:
        """Return the events that started a run; None if no plugin recognises any."""
        answers = self._answers("mfc_trigger", None, {"metadata": metadata}, together=True)
        if not answers:
            return None
        found = (events_of(answer, self._plugin(name)) for name, answer in answers)
        return [event for events in found for event in events]

    def decoder(self, encoding: str, info: Mapping[str, Any]) -> ArtifactDecoder:
        """Return the decoder of `encoding`.

        Raises:
            PluginNotFound: no plugin reads it.
        """
        arguments = self._arguments(encoding=encoding, info=info)
        what = f"encoding {shown(encoding)}"
        return decoder_of(*self._ask("mfc_artifact_decoder", encoding, what, arguments))

    def safe_classes(self) -> frozenset[str]:
        """Return the classes that plugins declare harmless to unpickle."""
        answers = self._answers("mfc_safe_classes", None, {})
        found = (classes_of(answer, self._plugin(name)) for name, answer in answers)
        return frozenset().union(*found)

    def value_builders(self) -> dict[str, Callable[[Any], object]]:
        """Return the builders of plugins by the full name of a class.

        Raises:
            PluginConflict: two plugins build one class.
        """
        found: dict[str, Callable[[Any], object]] = {}
        owners: dict[str, str] = {}
        for plugin, answer in self._answers("mfc_value_builders", None, {}):
            builders = builders_of(answer, self._plugin(plugin))
            for name in builders:
                if (owner := owners.setdefault(name, plugin)) != plugin:
                    raise PluginConflict(f"values of {name}", (owner, plugin), "switch one off")
            found.update(builders)
        return found

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        """Return the answers to a hook that a plugin publishes; see `Hooks`."""
        self.registry.load_all()
        published = self.registry.arguments_of(hook)
        if published is None:
            raise PluginError(f"No plugin publishes hook {hook}")
        if published != arguments.keys():
            wanted, given = ", ".join(sorted(published)), ", ".join(sorted(arguments))
            raise PluginError(f"Hook {hook} is asked with ({given}), published with ({wanted})")
        return [answer for _, answer in self._answers(hook, None, arguments)]

    def infos(self) -> list[PluginInfo]:
        """Return all plugins, installed or registered, in use or not; loads them."""
        return self.registry.infos()

    def probe(self) -> None:
        """Check every plugin as far as that works without a backend; its info has the error."""
        for info in self.infos():
            for hook in () if info.error or info.off else _PROBES:
                for kind in info.kinds or ("",):
                    self._probe(info.name, hook, kind)

    def _probe(self, name: str, hook: str, kind: str) -> None:
        words = dict.fromkeys(("address", "ds_type", "encoding"), kind)
        arguments = self._arguments(**words, info={}, metadata={}, meter=_Unmetered())
        own = (i for i in self.registry.implementations(hook, None) if i.plugin_name == name)
        for implementation in own:
            try:
                answer = self._call(implementation, hook, arguments)
                if answer is not None and not isinstance(answer, BrokenPlugin):
                    plugin = self._plugin(name)
                    for flaw in check_methods(answer, plugin):
                        self.registry.note(flaw)
                    _PROBES[hook](answer, plugin)
            except MetaflowException as refusal:
                answer = refusal
            # Other refusals are about settings that are missing here.
            if isinstance(answer, BrokenPlugin):
                self.registry.note(answer)

    # Calls of hooks

    def _arguments(self, **arguments: Any) -> dict[str, Any]:
        return {**arguments, "config": self._config, "hooks": self}

    def _plugin(self, name: str) -> Plugin:
        info = self.registry.info(name)
        return Plugin(name, info.distribution, info.version)

    def _ask(
        self, hook: str, kind: str | None, what: str, arguments: dict[str, Any]
    ) -> tuple[Any, Plugin]:
        """Return the single answer, and its plugin."""
        answers = self._answers(hook, kind, arguments)
        if not answers:
            raise PluginNotFound(what, self._advice(hook, kind))
        if len(answers) > 1:
            claims = tuple(sorted(name for name, _ in answers))
            rules = [rule for name in claims if (rule := self.registry.rule_against(name))]
            rule = rules[0] if rules else "-NAME"
            raise PluginConflict(
                what,
                claims,
                f"switch one off with {SETTING}='{rule}' or Client(plugins=['{rule}'])",
            )
        name, answer = answers[0]
        return answer, self._plugin(name)

    def _answers(
        self, hook: str, kind: str | None, arguments: dict[str, Any], *, together: bool = False
    ) -> list[tuple[str, Any]]:
        """Return the answers of the plugins.

        The defaults are called only if no other plugin answers, or last if `together`. A failed
        plugin is ignored with a warning if another one answers, unless its own kind was asked for.
        """
        asked: tuple[list[Any], list[Any]] = [], []
        for implementation in self.registry.implementations(hook, kind):
            asked[implementation.plugin_name in self._defaults].append(implementation)
        failures: list[BrokenPlugin] = []
        for implementations in ([*asked[0], *asked[1]],) if together else asked:
            answers = [(i.plugin_name, self._call(i, hook, arguments)) for i in implementations]
            failures += [answer for _, answer in answers if isinstance(answer, BrokenPlugin)]
            if any(self._counts(failure, kind) for failure in failures):
                break
            found = [
                (name, answer)
                for name, answer in answers
                if answer is not None and not isinstance(answer, BrokenPlugin)
            ]
            if found:
                self._pass_over(failures)
                return found
        if failures:
            raise failures[0]
        return []

    def _counts(self, failure: BrokenPlugin, kind: str | None) -> bool:
        """Tell whether the failed plugin was responsible for the answer."""
        return self._strict or kind is None or kind in self.registry.info(failure.plugin).kinds

    def _pass_over(self, failures: Iterable[BrokenPlugin]) -> None:
        for failure in failures:
            self.registry.note(failure)
            warn(f"{failure}; another plugin answered")

    def _call(self, implementation: Any, hook: str, arguments: dict[str, Any]) -> Any:
        """Return one plugin's answer, or the error of its failure; raise refusals."""
        answer, started = None, time.perf_counter()
        given = {name: arguments[name] for name in implementation.argnames}
        try:
            answer = implementation.function(**given)
            if isinstance(answer, types.GeneratorType):
                answer = list(answer) or None  # a hook that yields cannot return None
        except MetaflowException as refusal:
            answer = refusal
            raise
        except (Exception, SystemExit) as cause:  # noqa: BLE001 - the plugin's code
            answer = self._broken(implementation.plugin_name, hook, cause)
        finally:
            if self._trace:
                spent = (time.perf_counter() - started) * 1000
                _show(hook, given, implementation.plugin_name, answer, spent)
        return answer

    def _broken(self, name: str, hook: str, cause: BaseException) -> BrokenPlugin:
        return self._plugin(name).failed(f"hook {hook}", cause)

    def _advice(self, hook: str, kind: str | None) -> str:
        metadata = hook == "mfc_metadata_provider"
        selection = self.registry.selection
        names = ", ".join(selection.kinds()) or "none"
        switched_off = sorted(set(installed()).difference(selection.kinds()))
        off = f"; switched off in {selection.source}: {', '.join(switched_off)}"
        failed = "".join(f"; broken: {failure}" for failure in self.registry.load_all())
        # Without any plugin, most users want to read a directory.
        wanted = kind if installed() or not metadata else "local"
        to_install = "" if kind in switched_off else advice(wanted, metadata=metadata)
        if kind in selection.kinds() and metadata and not failed:
            to_install = (
                f"{selection.claim(kind).title} serves {kind!r} as a place of values, not of "
                "metadata, which is in a directory or a service; "
            )
        return f"{to_install}installed plugins: {names}{off if switched_off else ''}{failed}"


def _selection(chosen: Iterable[object], config: Config) -> Selection:
    """Return the selection of the rules among `chosen`, or else that of the setting."""
    if own := [rule for rule in chosen if isinstance(rule, str)]:
        return Selection.of(own, "Client(plugins=…)")
    rules = (config.text(SETTING) or "").split(",")
    _, source = config.find(SETTING) or (None, "")
    return Selection.of([rule for rule in rules if rule.strip()], source)


def _show(hook: str, given: Mapping[str, Any], name: str, answer: object, spent: float) -> None:
    """Print a call of a hook to standard error."""
    arguments = ", ".join(
        f"{argument}={_SHORT.repr(value)}"
        for argument, value in given.items()
        if argument not in _UNTRACED
    )
    shown = f"{hook}({arguments}) {name}: {_SHORT.repr(answer)}, {spent:.1f} ms"
    print(f"mfc: {shown}", file=sys.stderr)  # noqa: T201
