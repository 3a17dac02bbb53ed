"""kill -9 at any moment, and the same command again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = ["cp-1", "cp-2", "worker-1"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 150), min_size=1, max_size=3))
def test_killed_anywhere_the_same_command_finishes(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int]
) -> None:
    """Nothing is wiped twice, one host only begins the cluster, no act happens more than once too often."""
    simulation = make_simulation()
    deaths = 0
    for budget in kills:
        try:
            simulation.provision(NAMES, kill_after=budget)
        except killed:
            deaths += 1
    outcomes = simulation.provision(NAMES)
    assert [o for o in outcomes if o.error is not None] == []
    machines = [simulation.machines[n] for n in NAMES]
    assert [m.wipes for m in machines] == [1, 1, 1]
    assert sum(m.inits for m in machines) == 1
    assert all(m.cycles <= deaths for m in machines)
    assert all(m.configured <= 1 + deaths for m in machines)
    assert len(simulation.service.query("SELECT id FROM grants WHERE outcome = 'spent'")) == 3
    assert simulation.look(NAMES)[0].pending == ()
