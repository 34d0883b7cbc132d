from __future__ import annotations

from collections.abc import Callable

import pytest

from mfc.testing import Backend, ProviderTests

from .backend import Service


class TestServiceProvider(ProviderTests):
    module = "mfc_service"

    @pytest.fixture
    def new_backend(self, services: object) -> Callable[[], Backend]:
        return lambda: Service(*services.new())
