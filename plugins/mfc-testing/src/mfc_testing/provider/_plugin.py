"""Clauses about the provider's plugin; run where the class names its `module`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from mfc.config import Config
from mfc.errors import MetaflowException
from mfc.hookspecs import MetadataProvider
from mfc.query import Query
from mfc_testing import _isolation
from mfc_testing._contract import ask, clause, equal, holds, raised
from mfc_testing._example import FLOW, RUN
from mfc_testing._hooks import hooks_of
from mfc_testing.provider._asking import NewBackend, ProviderClauses, ReadMeter, paths


class PluginClauses(ProviderClauses):
    """Contract of the plugin's module."""

    @clause("address-again")
    def test_the_address_makes_an_equal_provider(self, new_backend: NewBackend) -> None:
        """For `address` the plugin's hook makes a provider that answers the same."""
        _, asked, _ = self.given(new_backend)
        again = self._made(asked.provider.address)
        equal("address of the provider that was made of it", asked.provider.address, again.address)
        equal("its capabilities", asked.capabilities, again.capabilities)
        equal("its runs", paths(asked.children(FLOW)), paths(again.children(FLOW, Query())))
        equal("its get", asked.get(RUN), again.get(RUN))

    @clause("address-others")
    def test_other_addresses_are_left_to_others(self, new_backend: NewBackend) -> None:
        """The hook returns None for addresses of other kinds, including similarly named ones."""
        _, asked, _ = self.given(new_backend)
        kind, sign, where = _parts(asked.provider.address)
        alike = [
            f"{kind}2",
            f"{kind}s",
            f"my{kind}",
            f"{kind}-x",
            f"x-{kind}",
        ]
        alike += [kind[:-1], kind[1:], f"{kind}{kind}", f"{kind}_", kind.swapcase()]
        others = [f"{other}{sign}{where}" for other in alike if other] if sign else []
        others += ["nobodys@kind", "nobodys://where", "nobodys@/data", "nobodys", f"nobodys@{kind}"]
        others += [f"nobodys@{asked.provider.address}", f"nobodys://{kind}@where"]
        for address in others:
            answer = ask(f"mfc_metadata_provider({address!r})", partial(self._ask, address))
            equal(f"mfc_metadata_provider({address!r})", None, answer)

    @clause("address-odd")
    def test_odd_addresses_of_its_kind_are_no_failure(self, new_backend: NewBackend) -> None:
        """For an invalid address of its kind: BadAddress, None, or a provider."""
        _, asked, _ = self.given(new_backend)
        kind, sign, where = _parts(asked.provider.address)
        odd = (
            kind,
            f"{kind}{sign}",
            f"{kind}{sign}/no/such/place",
            f"{kind}{sign}\0",
            f"{kind}@\ud800",
        )
        for address in (
            *odd,
            f"{kind}{sign}{where}{'x' * 3000}",
            f"{kind}://",
            f"{kind}@a@b",
            f"{kind}@ ",
        ):
            given = f"mfc_metadata_provider({address[:80]!r})"
            found = _outcome(partial(self._ask, address))
            if isinstance(found, Exception):
                holds(
                    isinstance(found, MetaflowException), given, "BadAddress raised", raised(found)
                )
            elif found is not None:
                lacking = [name for name in _METHODS if not hasattr(found, name)]
                holds(not lacking, given, "None or a provider", f"{found!r}, without {lacking}")

    @clause("hook-meter")
    def test_the_hook_passes_the_meter_on(self, new_backend: NewBackend) -> None:
        """The provider that the hook makes reports to the given meter."""
        _, asked, _ = self.given(new_backend)
        if not self.metered:
            pytest.skip("reads are declared to cost nothing (metered = False)")
        meter = ReadMeter()
        made = self._made(asked.provider.address, meter)
        list(made.children(FLOW, Query()))
        holds(meter.reads > 0, "children, of a provider that the hook made", "a read or more", 0)

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)

    @clause("module-capabilities")
    def test_listed_capabilities_are_true(self, new_backend: NewBackend) -> None:
        """MFC_CAPABILITIES, which listings of plugins show, equals the provider's declaration."""
        _, asked, _ = self.given(new_backend)
        listed = getattr(hooks_of(self.module).plugin, "MFC_CAPABILITIES", None)
        if listed is None:
            pytest.skip("the module has no MFC_CAPABILITIES")
        equal("MFC_CAPABILITIES", asked.capabilities, listed)

    def _ask(self, address: str, meter: ReadMeter | None = None) -> MetadataProvider | None:
        found: MetadataProvider | None = hooks_of(self.module).first(
            "mfc_metadata_provider", address=address, config=Config(), meter=meter or ReadMeter()
        )
        return found

    def _made(self, address: str, meter: ReadMeter | None = None) -> MetadataProvider:
        given = f"mfc_metadata_provider({address!r})"
        made = ask(given, lambda: self._ask(address, meter))
        lacking = [name for name in _METHODS if not hasattr(made, name)]
        holds(not lacking, given, "a provider", f"{made!r}, without {', '.join(lacking)}")
        assert made is not None  # noqa: S101 - for the type checker
        return made


_METHODS = ("address", "capabilities", "root", "get", "children", "metadata", "artifacts", "retag")


def _parts(address: str) -> tuple[str, str, str]:
    """Return the kind of an address, the part behind it, and the rest."""
    for sign in ("@", "://"):
        kind, found, where = address.partition(sign)
        if found:
            return kind, sign, where
    return address, "", ""


def _outcome(question: Callable[[], object]) -> object:
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - the error is examined
        return error
