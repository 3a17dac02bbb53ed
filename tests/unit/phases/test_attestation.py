"""Deployer and machine meet through the BMC before anything is pinned, however often the run is killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmk.boot.nonces import Nonces
from bmk.datacenter.model import Attest
from bmk.journal import Event

HOST = "cp-1"
REASON = "a test of the exception"


def asking(simulation: Any, way: str) -> Any:
    """The same simulation, in which HOST proves itself another way."""
    attest = Attest(way=way, reason=REASON if way == "none" else None)  # type: ignore[arg-type]
    host = simulation.dc.hosts[HOST]
    host = replace(host, profile=host.profile.model_copy(update={"attest": attest}))
    simulation.dc = replace(simulation.dc, hosts={**simulation.dc.hosts, HOST: host})
    simulation.machines[HOST].host = host
    return simulation


def failure(simulation: Any) -> Event:
    found: Event = simulation.service.since(host=HOST, kind="phase.failed")[-1]
    return found


@pytest.mark.parametrize("way", ["mailbox", "media", "console", "none"])
def test_a_host_installs_by_every_way(simulation: Any, way: str) -> None:
    """The secret goes in, the machine proves itself with it, and it is taken out again; no secret is in the journal."""
    outcomes = asking(simulation, way).provision([HOST])
    assert [o.error for o in outcomes] == [None]
    machine = simulation.machines[HOST]
    assert not any(machine.left.values())
    assert simulation.service.facts(HOST)["installed"]["attest"] == way
    told = "\n".join(f"{e.text} {e.data}" for e in simulation.service.since())
    kept = Nonces.of(simulation.service).get(machine.grant)
    assert (kept is None) == (way == "none")
    assert kept is None or (kept.hex() not in told and repr(kept) not in told)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 60), min_size=1, max_size=3), way=st.sampled_from(["mailbox", "media", "console"]))
def test_killed_anywhere_the_proof_holds(
    make_simulation: Callable[[], Any], killed: type[BaseException], kills: list[int], way: str
) -> None:
    """The next run delivers the same secret again, or reads the console again; the disk is written once."""
    simulation = asking(make_simulation(), way)
    for budget in kills:
        try:
            simulation.provision([HOST], kill_after=budget)
        except killed:
            continue
    assert [o.error for o in simulation.provision([HOST])] == [] or simulation.look([HOST])[0].pending == ()
    assert simulation.machines[HOST].wipes == 1
    assert simulation.service.facts(HOST)["installed"]["attest"] == way


@pytest.mark.parametrize("way", ["mailbox", "media"])
def test_the_system_that_ran_before_never_sees_the_secret(simulation: Any, way: str) -> None:
    """A node that was taken over could read its BMC and pass the secret on: it is off before the BMC gets it."""
    machine = asking(simulation, way).machines[HOST]
    machine.power, machine.system = "on", "disk"
    assert [o.error for o in simulation.provision([HOST])] == [None]
    assert machine.seen_by == [""]
    assert machine.cycles == 1


@pytest.mark.parametrize("way", ["mailbox", "media"])
def test_a_bmc_that_cannot_carry_it_ends_before_power_on(simulation: Any, way: str) -> None:
    """Nothing is switched on that could not prove itself, and the cause says which other ways there are."""
    asking(simulation, way)
    machine = simulation.machines[HOST]
    machine.faults.add("bmc-carries-nothing")
    error = simulation.provision([HOST])[0].error
    assert error is not None
    assert "attest" in error.hint
    assert (machine.power, machine.wipes) == ("off", 0)


def test_two_secrets_on_one_console_end_the_attempt(simulation: Any) -> None:
    """Somebody else makes the machine print, or it is two machines: the grant ends and no key is pinned."""
    asking(simulation, "console")
    simulation.machines[HOST].faults.add("another-prints")
    error = simulation.provision([HOST])[0].error
    assert error is not None
    assert "its console named two secrets" in error.what
    assert "find who answers on the boot network" in error.hint
    assert "host_keys" not in simulation.service.facts(HOST)
    assert simulation.service.query("SELECT outcome FROM grants") == [("failed",)]


def test_what_was_written_without_the_demanded_proof_is_not_accepted(simulation: Any) -> None:
    """A record of an install that does not say how it was proven, under a grant that demands it, ends the host."""
    asking(simulation, "media")
    simulation.machines[HOST].faults.add("unproven")
    assert "did not prove" in str(simulation.provision([HOST])[0].error)
    assert failure(simulation).phase == "installed"


def test_plan_says_how_a_host_will_be_proven(simulation: Any) -> None:
    """The way is in the line that permits the installation, the exception in capital terms."""
    for way, words in (("media", "proven by media"), ("none", "without a proof")):
        plan, _ = asking(simulation, way).look([HOST])
        assert any(words in change.text for change in plan.hosts[0].changes)
