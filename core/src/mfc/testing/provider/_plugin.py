"""Clauses about the plugin that makes the provider; asked where the class names its `module`."""

from __future__ import annotations

from functools import partial

import pytest

from mfc.config import Config
from mfc.hookspecs import MetadataProvider
from mfc.query import Query
from mfc.testing import _isolation
from mfc.testing._contract import ask, clause, equal, holds
from mfc.testing._example import FLOW, RUN
from mfc.testing._hooks import hooks_of
from mfc.testing.provider._asking import NewBackend, ProviderClauses, ReadMeter, paths


class PluginClauses(ProviderClauses):
    """What the module of a provider's plugin promises."""

    @clause("address-again")
    def test_the_address_makes_an_equal_provider(self, new_backend: NewBackend) -> None:
        """The plugin's hook makes of `address` a provider that answers the same."""
        _, asked, _ = self.given(new_backend)
        again = self._made(asked.provider.address)
        equal("address of the provider that was made of it", asked.provider.address, again.address)
        equal("its capabilities", asked.capabilities, again.capabilities)
        equal("its runs", paths(asked.children(FLOW)), paths(again.children(FLOW, Query())))
        equal("its get", asked.get(RUN), again.get(RUN))

    @clause("address-others")
    def test_other_addresses_are_left_to_others(self) -> None:
        """The hook returns None for addresses of other kinds."""
        for address in ("nobodys@kind", "nobodys://where", "nobodys@/data", "nobodys"):
            answer = ask(f"mfc_metadata_provider({address!r})", partial(self._ask, address))
            equal(f"mfc_metadata_provider({address!r})", None, answer)

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)

    @clause("module-capabilities")
    def test_listed_capabilities_are_true(self, new_backend: NewBackend) -> None:
        """MFC_CAPABILITIES, which listings of plugins show, is what the provider declares."""
        _, asked, _ = self.given(new_backend)
        listed = getattr(hooks_of(self.module).plugin, "MFC_CAPABILITIES", None)
        if listed is None:
            pytest.skip("the module has no MFC_CAPABILITIES")
        equal("MFC_CAPABILITIES", asked.capabilities, listed)

    def _ask(self, address: str) -> MetadataProvider | None:
        found: MetadataProvider | None = hooks_of(self.module).first(
            "mfc_metadata_provider", address=address, config=Config(), meter=ReadMeter()
        )
        return found

    def _made(self, address: str) -> MetadataProvider:
        made = ask(f"mfc_metadata_provider({address!r})", lambda: self._ask(address))
        holds(made is not None, f"mfc_metadata_provider({address!r})", "a provider", None)
        assert made is not None  # noqa: S101 - for the type checker
        return made
