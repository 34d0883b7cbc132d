"""A clause beyond any list of queries: random histories, random queries."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mfc_testing._contract import clause
from mfc_testing.provider._asking import NewBackend, ProviderClauses
from mfc_testing.stateful import machine_of

#: Histories that are tried with `--kit-quick`.
_FEW = 2


class RandomClauses(ProviderClauses):
    """Random histories, compared with `MemoryProvider`."""

    #: Whether a failing history is reduced to a minimal one, which may take minutes.
    shrink: ClassVar[bool] = False

    @clause("random-histories")
    def test_any_history_is_answered_as_the_model_does(self, new_backend: NewBackend) -> None:
        """For any records, changes and queries, the client's answers equal those of the model."""
        run_state_machine_as_test(
            machine_of(new_backend),
            settings=settings(
                max_examples=min(self.examples, _FEW) if self._quick else self.examples,
                stateful_step_count=20,
                deadline=None,
                phases=[phase for phase in Phase if self.shrink or phase is not Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
