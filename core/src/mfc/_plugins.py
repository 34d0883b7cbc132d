"""Asking plugins: by name first, the others only when somebody has to be asked."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import pluggy

from mfc import _builtin, hookspecs
from mfc._discovery import GROUP, SETTING, PluginInfo, Selection, advice, described, installed
from mfc.config import Config
from mfc.errors import (
    MetaflowException,
    PluginConflict,
    PluginError,
    PluginNotFound,
    UnservedAddress,
)
from mfc.hookspecs import (
    CONTRACT,
    ArtifactDecoder,
    Event,
    Filesystem,
    MetadataProvider,
    Meter,
    NamespacePolicy,
)

_STRICT, _TRACE = "MFC_STRICT_PLUGINS", "MFC_TRACE_PLUGINS"


class Plugins:
    """The plugins of one client.

    Args:
        chosen: rules about the installed plugins (see `Selection`), and modules or objects with
            hook implementations, used besides them.
        config: where more rules are found, in setting `MFC_PLUGINS`.

    Raises:
        BadSetting: a rule is none.
        PluginError: an object is no plugin; with `MFC_STRICT_PLUGINS`, an installed one is broken.
    """

    def __init__(self, chosen: Iterable[object], config: Config) -> None:
        chosen = list(chosen)
        own = [rule for rule in chosen if isinstance(rule, str)]
        setting = config.text(SETTING) or ""
        source = "Client(plugins=…)" if own else f"setting {SETTING}"
        self._selection = Selection.of(own or filter(None, setting.split(",")), source)
        self._config = config
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._loaded: dict[str, PluginInfo] = {}
        self._failures: dict[str, PluginError] = {}
        self._trace = config.flag(_TRACE)
        for plugin in _builtin.PLUGINS:
            self._register(plugin, plugin.__name__)
        self._defaults = frozenset(plugin.__name__ for plugin in _builtin.PLUGINS)
        for registered in chosen:
            if not isinstance(registered, str):
                name = getattr(registered, "__name__", None) or repr(registered)
                self._register(registered, name)
        if config.flag(_STRICT):
            for name in self._names():
                self._load(name)

    # What the client asks

    def provider(self, address: str, meter: Meter) -> MetadataProvider:
        """Return the metadata provider at `address`.

        Raises:
            UnservedAddress: nobody serves it.
            BadAddress: it is somebody's, but leads nowhere.
        """
        kind = address.partition("@")[0] if "@" in address else address.partition(":")[0]
        arguments = self._arguments(address=address, meter=meter)
        try:
            answer: MetadataProvider = self._ask(
                "mfc_metadata_provider", kind, f"metadata provider {address!r}", arguments
            )
        except PluginNotFound as missing:
            raise UnservedAddress(missing.kind, missing.advice) from None
        return answer

    def filesystem(self, ds_type: str, meter: Meter) -> Filesystem:
        """Return the filesystem that stores `ds_type`.

        Raises:
            PluginNotFound: nobody serves it, and fsspec does not know it.
        """
        arguments = self._arguments(ds_type=ds_type, meter=meter)
        described_as = f"datastore type {ds_type!r}"
        answer: Filesystem = self._ask("mfc_filesystem", ds_type, described_as, arguments)
        return answer

    def policy(self) -> NamespacePolicy:
        """Return the namespace policy."""
        answer: NamespacePolicy = self._ask(
            "mfc_namespace_policy", None, "namespaces", self._arguments()
        )
        return answer

    def events(self, metadata: Mapping[str, Any]) -> list[Event] | None:
        """Return the events that started a run; None if nobody recognises any."""
        answers = self._answers("mfc_trigger", None, {"metadata": metadata}, together=True)
        return [event for _, events in answers for event in events] if answers else None

    def decoder(self, encoding: str, info: Mapping[str, Any]) -> ArtifactDecoder:
        """Return the decoder of `encoding`.

        Raises:
            PluginNotFound: nobody reads it.
        """
        arguments = self._arguments(encoding=encoding, info=info)
        answer: ArtifactDecoder = self._ask(
            "mfc_artifact_decoder", encoding, f"encoding {encoding!r}", arguments
        )
        return answer

    def safe_classes(self) -> frozenset[str]:
        """Return the classes that plugins declare harmless to unpickle."""
        answers = self._answers("mfc_safe_classes", None, {})
        return frozenset(name for _, names in answers for name in names)

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        """Return what plugins answer to a hook that one of them publishes; see `Hooks`."""
        if getattr(self._manager.hook, hook, None) is None:
            raise PluginError(f"No plugin publishes hook {hook}")
        return [answer for _, answer in self._answers(hook, None, arguments)]

    def infos(self) -> list[PluginInfo]:
        """Return all plugins, installed or registered, in use or not; loads them."""
        for name in self._names():
            self._load_quietly(name)
        left_out = [
            PluginInfo((name,), entry.dist.name if entry.dist else "", _version(entry), off=True)
            for name, entries in installed().items()
            if not self._selection.wants(name)
            for entry in entries
        ]
        return [*self._loaded.values(), *left_out]

    # How plugins are asked

    def _arguments(self, **arguments: Any) -> dict[str, Any]:
        return {**arguments, "config": self._config, "hooks": self}

    def _ask(self, hook: str, kind: str | None, what: str, arguments: dict[str, Any]) -> Any:
        answers = self._answers(hook, kind, arguments)
        if not answers:
            raise PluginNotFound(what, self._advice(kind))
        if len(answers) > 1:
            claims = tuple(sorted(name for name, _ in answers))
            raise PluginConflict(
                what,
                claims,
                f"switch the others off with {SETTING}='-NAME' or Client(plugins=['-NAME'])",
            )
        return answers[0][1]

    def _answers(
        self, hook: str, kind: str | None, arguments: dict[str, Any], *, together: bool = False
    ) -> list[tuple[str, Any]]:
        """Return what the plugins answer: that of `kind` alone if it is installed, else all.

        The defaults are asked only if nobody else answers, or else last, `together` with all.
        """
        alone = None
        if kind is not None and kind in self._names():
            alone = self._load(kind)
        else:
            for name in self._names():
                self._load_quietly(name)
        asked: tuple[list[Any], list[Any]] = [], []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            if alone is None or name == alone or name not in self._from_entries:
                asked[name in self._defaults].append(implementation)
        for implementations in ([*asked[0], *asked[1]],) if together else asked:
            answers = [(i.plugin_name, self._call(i, hook, arguments)) for i in implementations]
            if found := [(name, answer) for name, answer in answers if answer is not None]:
                return found
        return []

    def _call(self, implementation: Any, hook: str, arguments: dict[str, Any]) -> Any:
        name, answer, started = implementation.plugin_name, None, time.perf_counter()
        try:
            answer = implementation.function(*[arguments[n] for n in implementation.argnames])
        except MetaflowException as refusal:
            answer = refusal
            raise
        except Exception as cause:
            answer = cause
            raise PluginError(f"Plugin {name} failed in {hook}: {cause!r}") from cause
        finally:
            if self._trace:
                shown = ", ".join(
                    f"{argument}={arguments[argument]!r}"
                    for argument in implementation.argnames
                    if argument not in ("config", "meter", "hooks")
                )
                spent = (time.perf_counter() - started) * 1000
                print(f"mfc: {hook}({shown}) {name}: {answer!r}, {spent:.1f} ms", file=sys.stderr)  # noqa: T201
        return answer

    def _advice(self, kind: str | None) -> str:
        names = ", ".join(sorted(self._names())) or "none"
        failed = "".join(f"; broken: {failure}" for failure in self._failures.values())
        return f"{advice(kind)}installed plugins: {names}{failed}"

    # How plugins come in

    def _names(self) -> list[str]:
        return [name for name in installed() if self._selection.wants(name)]

    @functools.cached_property
    def _from_entries(self) -> frozenset[str]:
        entries = [entry for claims in installed().values() for entry in claims]
        return frozenset(map(_key, entries))

    def _load(self, name: str) -> str:
        """Load the installed plugin `name`; return what it is registered as.

        Raises:
            PluginConflict: two distributions have that name.
            PluginError: it does not import, is for another contract, or its hooks are wrong.
        """
        entry = self._selection.entry(name)
        key = _key(entry)
        if key in self._failures:
            raise self._failures[key]
        if self._manager.get_plugin(key) is not None:
            known = self._loaded[key]
            if name not in known.kinds:
                self._loaded[key] = _with_kind(known, name)
            return key
        started = time.perf_counter()
        try:
            self._register(entry.load(), key)
        except Exception as cause:
            self._failures[key] = failure = PluginError(
                f"Plugin {name!r} of {described(entry)} cannot be used: {cause}"
            )
            self._loaded[key] = PluginInfo(
                (name,), _distribution(entry), _version(entry), error=str(failure)
            )
            raise failure from cause
        spent = (time.perf_counter() - started) * 1000
        self._loaded[key] = self._facts(key, (name,), _distribution(entry), _version(entry), spent)
        return key

    def _load_quietly(self, name: str) -> None:
        """Load the plugin of `name`; one that is broken must not hurt who does not need it."""
        try:
            self._load(name)
        except PluginError as failure:
            self._failures.setdefault(name, failure)
            if isinstance(failure, PluginConflict):
                self._loaded.setdefault(name, PluginInfo((name,), "", "", error=str(failure)))

    def _register(self, plugin: object, name: str) -> None:
        wanted = getattr(plugin, "MFC_CONTRACT", CONTRACT)
        if wanted != CONTRACT:
            raise PluginError(
                f"it is written for contract {wanted}, this mfc-core has contract {CONTRACT}; "
                f"upgrade {'mfc-core' if wanted > CONTRACT else 'the plugin'}"
            )
        if (own := getattr(plugin, "MFC_HOOKSPECS", None)) is not None:
            self._manager.add_hookspecs(own)
        try:
            self._manager.register(plugin, name)
        except pluggy.PluginValidationError as cause:
            self._manager.unregister(name=name)
            raise PluginError(str(cause)) from cause
        if not self._manager.get_hookcallers(plugin):
            raise PluginError(f"{name} implements no hook; are its functions marked @hookimpl?")
        self._loaded[name] = self._facts(name, (), "", "", 0.0)

    def _facts(
        self, key: str, kinds: tuple[str, ...], distribution: str, version: str, spent: float
    ) -> PluginInfo:
        plugin = self._manager.get_plugin(key)
        callers = self._manager.get_hookcallers(plugin) or []
        return PluginInfo(
            kinds,
            distribution,
            version,
            getattr(plugin, "__file__", None),
            tuple(sorted(caller.name for caller in callers)),
            getattr(plugin, "MFC_CAPABILITIES", None),
            round(spent, 1),
            error=_unknown_hooks([caller.name for caller in callers if not caller.has_spec()]),
        )


def _key(entry: Any) -> str:
    return f"{described(entry)} ({entry.value})"


def _distribution(entry: Any) -> str:
    return str(entry.dist.name) if entry.dist else ""


def _version(entry: Any) -> str:
    return str(entry.dist.version) if entry.dist else ""


def _with_kind(info: PluginInfo, name: str) -> PluginInfo:
    return attrs.evolve(info, kinds=(*info.kinds, name))


def _unknown_hooks(names: list[str]) -> str | None:
    """Return what is wrong with hooks that nobody publishes, None if there are none."""
    if not names:
        return None
    return f"it implements {', '.join(sorted(names))}, which no plugin in use publishes"
