"""The registry of one client's plugins, loaded, refused or switched off, with the reasons."""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Collection
from typing import Any

import attrs
import pluggy

from mfc import hookspecs
from mfc._concurrency._forks import fork_safe
from mfc._plugins._discovery import GROUP, Claim, PluginInfo, Selection, installed
from mfc._plugins._guard import is_async
from mfc.errors import BrokenPlugin, MetaflowException, PluginError
from mfc.hookspecs import CONTRACT, Capabilities, Support


class Registry:
    """Loads the selected plugins on first use, each once.

    Args:
        selection: the rules.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._lock = fork_safe(threading.RLock())
        self._infos: dict[str, PluginInfo] = {}
        #: Registered name of each loaded claim, by `Claim.plugin`.
        self._entered: dict[str, str] = {}
        #: Names of plugins that are registered only because they are installed.
        self._claimed: set[str] = set()
        self._failures: dict[str, BrokenPlugin] = {}

    # Loading

    def register(self, plugin: object) -> str:
        """Register a module or object that need not be installed; return its name.

        Raises:
            BrokenPlugin: it is not a plugin, or its hooks are wrong.
        """
        with self._lock:
            if (known := self._manager.get_name(plugin)) is not None:
                return known
            name = base = str(getattr(plugin, "__name__", None) or type(plugin).__qualname__)
            while name in self._infos:
                name = f"{base} #{int(name.rpartition('#')[2]) + 1 if name != base else 2}"
            try:
                self._admit(plugin, name)
            except PluginError as refusal:
                raise BrokenPlugin(name, refusal.message) from refusal.__cause__
            self._infos[name] = self._facts(plugin, PluginInfo(name))
            return name

    def load(self, kind: str) -> str:
        """Load the installed plugin that serves `kind`; return its name.

        Raises:
            PluginConflict: several distributions claim it.
            BrokenPlugin: it does not import, is for another contract, or its hooks are wrong.
            BadSetting: a rule pins it to a distribution that does not claim it.
        """
        claim = self.selection.claim(kind)
        if claim.plugin not in self._entered:
            started = time.perf_counter()
            found = _imported(claim)  # outside the lock: an import may wait for other threads
            with self._lock:
                if claim.plugin not in self._entered:
                    self._enter(claim, found, started)
        name = self._entered[claim.plugin]
        with self._lock:
            info = self._infos[name]
            if kind not in info.kinds:
                self._infos[name] = attrs.evolve(info, kinds=(*info.kinds, kind))
        if (failure := self._failures.get(name)) is not None:
            raise type(failure)(*failure.args) from failure.__cause__
        return name

    def load_all(self) -> list[str]:
        """Load all selected plugins; return the errors of those that fail.

        A broken plugin must not affect callers that do not need it.
        """
        problems = map(self._problem, self.selection.kinds())
        return list(dict.fromkeys(filter(None, problems)))

    def require_all(self) -> None:
        """Load all selected plugins.

        Raises:
            PluginError: a plugin has a problem.
        """
        for kind in self.selection.kinds():
            self.load(kind)
        for info in self.infos():
            if info.error:
                raise BrokenPlugin(info.name, info.error, info.distribution, info.version)

    # Lookup

    def implementations(self, hook: str, kind: str | None) -> list[Any]:
        """Return the implementations of a hook: registered plugins first, then installed by name.

        If an installed plugin serves `kind` by name, only it and the registered plugins count;
        otherwise all do.
        """
        claims = installed().get(kind, ()) if kind is not None else ()
        if kind is not None and any(map(self.selection.wants, claims)):
            others = self._claimed - {self.load(kind)}
        else:
            self.load_all()
            # A plugin with one kind switched off keeps its other kinds.
            others = {self._entered.get(claim.plugin, "") for claim in claims} & self._claimed
        found = reversed(getattr(self._manager.hook, hook).get_hookimpls())
        wanted = [each for each in found if each.plugin_name not in others]
        # The answer must not depend on the order in which plugins were loaded.
        return sorted(wanted, key=lambda e: e.plugin_name if e.plugin_name in self._claimed else "")

    def publishes(self, hook: str) -> bool:
        """Tell whether the contract or a plugin in use has a hook of this name."""
        return self.arguments_of(hook) is not None

    def arguments_of(self, hook: str) -> frozenset[str] | None:
        """Return the arguments of a published hook; None if it is not published."""
        specification = getattr(getattr(self._manager.hook, hook, None), "spec", None)
        return None if specification is None else frozenset(specification.argnames)

    def rule_against(self, name: str) -> str | None:
        """Return the rule that would switch off the plugin of this name; None if rules cannot."""
        if name not in self._claimed:
            return None
        info = self._infos[name]
        return f"-{info.distribution or info.kinds[0]}"

    def info(self, name: str) -> PluginInfo:
        """Return the details of a registered plugin."""
        return self._infos[name]

    def note(self, failure: BrokenPlugin) -> None:
        """Keep the failure of a plugin in use, for listings."""
        with self._lock:
            info = self._infos[failure.plugin]
            known = info.error.split("; ") if info.error else []
            if failure.reason not in (info.error, *known):
                error = "; ".join([*known, failure.reason])
                self._infos[failure.plugin] = attrs.evolve(info, error=error)

    def infos(self) -> list[PluginInfo]:
        """Return all plugins, in use or not, installed ones first; loads them."""
        self.load_all()
        with self._lock:
            known = [self._with_unknown_hooks(info) for info in self._infos.values()]
        entered = [info for info in known if info.kinds]
        return [
            *sorted([*entered, *self._apart()], key=lambda info: (info.kinds, info.name)),
            *(info for info in known if not info.kinds),
        ]

    # Registration

    def _problem(self, kind: str) -> str | None:
        try:
            self.load(kind)
        except MetaflowException as problem:
            return str(problem)
        return None

    def _enter(self, claim: Claim, found: object, started: float) -> None:
        """Register the object of a claim, or keep the reason why that fails."""
        info = PluginInfo.of(claim)
        known = self._manager.get_name(found)
        if known in self._claimed:
            self._entered[claim.plugin] = str(known)  # loaded earlier for another distribution
            return
        try:
            if isinstance(found, BaseException):
                raise PluginError(f"does not load: {_named(found)}") from found
            if known is not None:
                info = attrs.evolve(info, name=known)  # it is both registered and installed
            else:
                self._admit(found, info.name)
                self._claimed.add(info.name)
            file = _file(found) or _file(sys.modules.get(str(claim.entry.module)))
            spent = round((time.perf_counter() - started) * 1000, 1)
            self._infos[info.name] = attrs.evolve(
                self._facts(found, info), file=file, load_ms=spent
            )
        except PluginError as refusal:
            self._fail(info, refusal)
        self._entered[claim.plugin] = info.name  # last: other threads read this without the lock

    def _admit(self, plugin: object, name: str) -> None:
        """Register a plugin with the plugin manager.

        Raises:
            PluginError: the reason against it, without the plugin's name.
        """
        if refusal := _refusal(plugin):
            raise PluginError(refusal)
        try:
            if (own := getattr(plugin, "MFC_HOOKSPECS", None)) is not None:
                self._publish(own)
            self._manager.register(plugin, name)
        except Exception as cause:
            self._manager.unregister(name=name) if self._manager.has_plugin(name) else None
            if isinstance(cause, PluginError):
                raise
            wrong = str(cause).replace("\n", ", ")
            raise PluginError(f"its hooks are wrong: {wrong}") from cause
        if own is None and not self._manager.get_hookcallers(plugin):
            self._manager.unregister(plugin)
            raise PluginError("implements no hook; are its functions marked @hookimpl?")

    def _publish(self, own: Any) -> None:
        """Publish a plugin's own hooks; evict plugins that implement them with other arguments."""
        for hook in dir(own):
            specification = getattr(own, hook)
            if not hasattr(specification, f"{GROUP}_spec"):
                continue
            if self.publishes(hook):
                raise PluginError(f"publishes hook {hook}, which another plugin publishes too")
            known = inspect.signature(specification).parameters
            caller = getattr(self._manager.hook, hook, None)
            for implementation in caller.get_hookimpls() if caller else ():
                if unknown := sorted(set(implementation.argnames) - set(known)):
                    self._evict(
                        implementation.plugin_name,
                        f"its hooks are wrong: {hook} has no argument {', '.join(unknown)}",
                    )
        self._manager.add_hookspecs(own)

    def _evict(self, name: str, reason: str) -> None:
        self._manager.unregister(name=name)
        self._claimed.discard(name)
        self._fail(self._infos[name], PluginError(reason))

    def _fail(self, info: PluginInfo, refusal: PluginError) -> None:
        failure = BrokenPlugin(info.name, refusal.message, info.distribution, info.version)
        failure.__cause__ = refusal.__cause__
        self._failures[info.name] = failure
        self._infos[info.name] = attrs.evolve(info, hooks=(), error=refusal.message)

    def _facts(self, plugin: object, info: PluginInfo) -> PluginInfo:
        callers = self._manager.get_hookcallers(plugin) or []
        return attrs.evolve(
            info,
            file=_file(plugin),
            hooks=tuple(sorted(caller.name for caller in callers)),
            capabilities=getattr(plugin, "MFC_CAPABILITIES", None),
        )

    # Listings

    def _apart(self) -> list[PluginInfo]:
        """Return the excluded claims, and those in conflict."""
        found = []
        for kind, claims in installed().items():
            wanted: Collection[Claim] = [c for c in claims if self.selection.wants(c)]
            problem = None
            if wanted:
                try:
                    wanted = [self.selection.claim(kind)]
                except MetaflowException as conflict:
                    problem = str(conflict)
            found += [PluginInfo.of(c, off=True) for c in claims if c not in wanted]
            found += [PluginInfo.of(c, error=problem) for c in wanted if problem]
        return found

    def _with_unknown_hooks(self, info: PluginInfo) -> PluginInfo:
        """Return `info` with an error if it implements hooks that no plugin in use publishes."""
        if not info.hooks:
            return info
        published = [name for name in vars(self._manager.hook) if self.publishes(name)]
        problems = [
            f"implements {hook}, which no plugin publishes{_meant(hook, published)}"
            for hook in info.hooks
            if not self.publishes(hook) and not self._optional(hook, info.name)
        ]
        known = [info.error] if info.error else []
        return attrs.evolve(info, error="; ".join([*known, *problems]) or None)

    def _optional(self, hook: str, name: str) -> bool:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return any(each.optionalhook for each in implementations if each.plugin_name == name)


def _imported(claim: Claim) -> object:
    """Return the module or object of a claim, or the exception that importing it raised."""
    try:
        return claim.entry.load()
    except (Exception, SystemExit) as cause:  # noqa: BLE001 - the plugin's module
        return cause


def _refusal(plugin: object) -> str | None:
    """Return all reasons why a module or object cannot be a plugin of this contract, or None."""
    reasons = [_outdated(getattr(plugin, "MFC_CONTRACT", CONTRACT))]
    capabilities = getattr(plugin, "MFC_CAPABILITIES", None)
    if not isinstance(capabilities, (Capabilities, type(None))):
        expected = "expected mfc.hookspecs.Capabilities"
        reasons.append(f"its MFC_CAPABILITIES is {capabilities!r}, {expected}")
    elif capabilities is not None:
        reasons += [
            f"its MFC_CAPABILITIES.{name} is {support!r}, expected a Support"
            for name, support in attrs.asdict(capabilities, recurse=False).items()
            if not isinstance(support, Support)
        ]
    reasons += [_unfit(name, getattr(plugin, name, None)) for name in dir(plugin)]
    return "; ".join(filter(None, reasons)) or None


def _outdated(wanted: object) -> str | None:
    """Return the reason if a contract version differs from this one."""
    if not isinstance(wanted, int):
        return f"its MFC_CONTRACT is {wanted!r}, expected a number such as {CONTRACT}"
    if wanted != CONTRACT:
        return (
            f"is written for contract {wanted}, this mfc-core has contract {CONTRACT}; "
            f"upgrade {'mfc-core' if wanted > CONTRACT else 'the plugin'}"
        )
    return None


def _unfit(name: str, found: Any) -> str | None:
    """Return why an attribute of a plugin cannot be a hook; None if it can or is not marked."""
    marks = getattr(found, f"{GROUP}_impl", None) or {}
    if isinstance(marks, dict) and (marks.get("wrapper") or marks.get("hookwrapper")):
        return f"its hook {name} is a wrapper; hooks of mfc answer, they wrap no others"
    if name in vars(hookspecs) and name.startswith("mfc_") and not _is_marked(found):
        return f"its function {name} is not marked @hookimpl"
    if marks and is_async(found):
        return f"its hook {name} is async; hooks answer when they are called"
    return None


def _is_marked(found: object) -> bool:
    return any(hasattr(found, f"{GROUP}_{mark}") for mark in ("impl", "spec"))


def _meant(hook: str, published: Collection[str]) -> str:
    """Return a question that suggests a published hook with a similar name, if any."""
    import difflib  # only for plugins with a problem

    close = difflib.get_close_matches(hook, published, n=1)
    return f"; is {close[0]} meant?" if close else ""


def _file(plugin: object) -> str | None:
    """Return the file of a module, or of the module of an object's class."""
    module = plugin if inspect.ismodule(plugin) else inspect.getmodule(plugin)
    module = module or sys.modules.get(type(plugin).__module__)
    return getattr(module, "__file__", None)


def _named(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}"
