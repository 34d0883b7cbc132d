"""Finding plugins and asking them: entry points of group `mfc`, by name first."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from mfc import _builtin, hookspecs
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

GROUP = "mfc"


@functools.cache
def _installed() -> dict[str, list[Any]]:
    """Return the entry points of every installed plugin by name; listed once per process."""
    from importlib.metadata import entry_points  # 30 ms, and only clients that ask need it

    found: dict[str, list[Any]] = {}
    for entry in entry_points(group=GROUP):
        claims = found.setdefault(entry.name, [])
        if entry.value not in [claim.value for claim in claims]:
            claims.append(entry)
    return found


def _origin(entry: Any) -> str:
    distribution = entry.dist
    return f"{distribution.name} {distribution.version}" if distribution else str(entry.value)


class Plugins:
    """The plugins of one client.

    Args:
        registered: modules or objects with hook implementations, used besides those installed.
    """

    def __init__(self, registered: Iterable[object] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._defaults = tuple(_builtin.PLUGINS)
        for plugin in (*self._defaults, *registered):
            self._register(plugin)
        self._failures: dict[str, PluginError] = {}

    def kinds(self) -> list[str]:
        """Return the names of the installed plugins."""
        return sorted(_installed())

    def provider(self, address: str, config: Config, meter: Meter) -> MetadataProvider:
        """Return the metadata provider at `address`.

        Raises:
            UnservedAddress: nobody serves it.
            BadAddress: it is somebody's, but leads nowhere.
        """
        kind = address.partition("@")[0]
        described = f"metadata provider {address!r}"
        arguments = {"address": address, "config": config, "meter": meter}
        try:
            answer: MetadataProvider = self._ask(
                "mfc_metadata_provider", kind, described, arguments
            )
        except PluginNotFound as missing:
            raise UnservedAddress(missing.kind, missing.advice) from None
        return answer

    def filesystem(self, ds_type: str, config: Config) -> Filesystem:
        """Return the filesystem that stores `ds_type`.

        Raises:
            PluginNotFound: nobody serves it, and fsspec does not know it.
        """
        arguments = {"ds_type": ds_type, "config": config}
        answer: Filesystem = self._ask(
            "mfc_filesystem", ds_type, f"datastore type {ds_type!r}", arguments
        )
        return answer

    def policy(self, config: Config) -> NamespacePolicy:
        """Return the namespace policy."""
        answer: NamespacePolicy = self._ask(
            "mfc_namespace_policy", None, "namespaces", {"config": config}
        )
        return answer

    def events(self, metadata: Mapping[str, Any]) -> list[Event] | None:
        """Return the events that started a run; None if nobody recognises any."""
        answers = self._answers("mfc_trigger", None, {"metadata": metadata})
        return [event for _, events in answers for event in events] if answers else None

    def decoder(self, encoding: str, info: Mapping[str, Any]) -> ArtifactDecoder:
        """Return the decoder of `encoding`.

        Raises:
            PluginNotFound: nobody reads it.
        """
        arguments = {"encoding": encoding, "info": info}
        answer: ArtifactDecoder = self._ask(
            "mfc_artifact_decoder", encoding, f"encoding {encoding!r}", arguments
        )
        return answer

    def safe_classes(self) -> frozenset[str]:
        """Return the classes that plugins declare harmless to unpickle."""
        return frozenset(
            name for _, names in self._answers("mfc_safe_classes", None, {}) for name in names
        )

    def _ask(self, hook: str, kind: str | None, described: str, arguments: dict[str, Any]) -> Any:
        answers = self._answers(hook, kind, arguments)
        if not answers:
            raise PluginNotFound(described, self._advice(kind))
        if len(answers) > 1:
            raise PluginConflict(described, tuple(sorted(name for name, _ in answers)))
        return answers[0][1]

    def _answers(
        self, hook: str, kind: str | None, arguments: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        """Return what the plugins answer: that of `kind` alone if it is installed, else all.

        The defaults are asked only if nobody else answers.
        """
        if kind is not None and kind in _installed():
            self._load(kind)
            only: set[str] | None = {self._key(entry) for entry in _installed()[kind]}
        else:
            only = None
            for name in _installed():
                self._load_quietly(name)
        asked: tuple[list[Any], list[Any]] = [], []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            if only is None or name in only or name not in self._entry_keys:
                asked[name in self._default_names].append(implementation)
        for implementations in asked:
            answers = [(i.plugin_name, self._call(i, arguments)) for i in implementations]
            if found := [(name, answer) for name, answer in answers if answer is not None]:
                return found
        return []

    def _call(self, implementation: Any, arguments: dict[str, Any]) -> Any:
        try:
            return implementation.function(*[arguments[name] for name in implementation.argnames])
        except MetaflowException:
            raise
        except Exception as cause:
            name, hook = implementation.plugin_name, implementation.function.__name__
            raise PluginError(f"Plugin {name} failed in {hook}: {cause!r}") from cause

    @functools.cached_property
    def _default_names(self) -> frozenset[str]:
        return frozenset(str(self._manager.get_name(plugin)) for plugin in self._defaults)

    @functools.cached_property
    def _entry_keys(self) -> frozenset[str]:
        return frozenset(self._key(entry) for all_ in _installed().values() for entry in all_)

    @staticmethod
    def _key(entry: Any) -> str:
        return f"{_origin(entry)} ({entry.value})"

    def _load(self, kind: str) -> None:
        """Load the installed plugin of `kind`.

        Raises:
            PluginConflict: two distributions have that name.
            PluginError: it does not import or is for another contract.
        """
        claims = _installed()[kind]
        if len(claims) > 1:
            raise PluginConflict(f"{kind!r}", tuple(sorted(_origin(entry) for entry in claims)))
        [entry] = claims
        key = self._key(entry)
        if key in self._failures:
            raise self._failures[key]
        if self._manager.get_plugin(key) is not None:
            return
        try:
            self._register(entry.load(), key)
        except Exception as cause:
            self._failures[key] = PluginError(f"Plugin {kind!r} of {_origin(entry)}: {cause}")
            raise self._failures[key] from cause

    def _load_quietly(self, kind: str) -> None:
        """Load the plugin of `kind`; one that is broken must not hurt who does not need it."""
        try:
            self._load(kind)
        except PluginError as failure:
            self._failures.setdefault(kind, failure)

    def _register(self, plugin: object, name: str | None = None) -> None:
        wanted = getattr(plugin, "MFC_CONTRACT", CONTRACT)
        if wanted != CONTRACT:
            raise PluginError(
                f"it is written for contract {wanted}, this mfc-core has contract {CONTRACT}; "
                f"upgrade {'mfc-core' if wanted > CONTRACT else 'the plugin'}"
            )
        self._manager.register(plugin, name)
        self._manager.check_pending()

    def _advice(self, kind: str | None) -> str:
        installed = ", ".join(self.kinds()) or "none"
        failed = "".join(f"; broken: {failure}" for failure in self._failures.values())
        wanted = f"pip install mfc-{kind} if there is one; " if kind and kind.isidentifier() else ""
        return f"{wanted}installed plugins: {installed}{failed}"
