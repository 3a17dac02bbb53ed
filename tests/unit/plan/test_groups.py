"""Plans of many hosts, by what would change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bmk.actions.provision import PROVISION
from bmk.datacenter.resolve import DataCenter
from bmk.plan import Actual, Plan, build_plan
from bmk.plan.actual import ClusterActual, Observation
from bmk.plan.groups import grouped
from bmk.plan.show import lines
from tests.unit.plan.test_plan import CONVERGED, DC, TANK, disks

FLEET = 400
UNANSWERED = "BMC {}: no answer in 4 s"


def fleet(size: int) -> DataCenter:
    """That many hosts in racks of forty, each with its own serial number, addresses and disk."""
    worker = DC.hosts["worker-1"]
    hosts = [
        replace(
            worker,
            name=f"r{i // 40}-{i % 40:02}",
            serial=f"SN{i:05}",
            address=worker.address + i,
            bmc_address=worker.bmc_address + i,
            disk=worker.disk.model_copy(update={"serial": f"DISK{i:05}"}),
        )
        for i in range(size)
    ]
    return replace(DC, hosts={h.name: h for h in hosts})


ROOM = fleet(FLEET)


def planned(seen: dict[str, Actual]) -> Plan:
    return build_plan(ROOM, PROVISION, seen, Observation(seen, {"lab-ha": ClusterActual("current")}))


def new(name: str, **more: Any) -> Actual:
    return Actual(power="off", trouble=(UNANSWERED.format(ROOM.hosts[name].bmc_address),), **more)


def foreign(name: str) -> Actual:
    """Its disk, which the file names, holds what is not ours."""
    return new(name, inspection=disks({**TANK, "serial": ROOM.hosts[name].disk.serial}))


KINDS: dict[str, Callable[[str], Actual]] = {
    "new": new,
    "converged": lambda _: CONVERGED,
    "foreign": foreign,
    "quiet": lambda _: Actual(power="off"),
}
seen = st.dictionaries(st.sampled_from(list(ROOM.hosts)), st.sampled_from(list(KINDS)), max_size=60).map(
    lambda kinds: {name: KINDS[kind](name) for name, kind in kinds.items()}
)


@settings(deadline=None)
@given(seen=seen)
def test_each_host_is_in_exactly_one_group(seen: dict[str, Actual]) -> None:
    """Every host with changes, once, with as many steps as it has changes, of the same phases."""
    plan = planned(seen)
    found = grouped(plan, ROOM.hosts).steps
    assert sorted(chain(*found.values())) == sorted(h.host for h in plan.pending)
    changes = {h.host: h.changes for h in plan.hosts}
    for steps, names in found.items():
        for name in names:
            assert [s.phase for s in steps] == [c.phase for c in changes[name]]


@settings(deadline=None)
@given(seen=seen)
def test_what_a_person_decides_on_names_every_host(seen: dict[str, Actual]) -> None:
    """Wipes, confirmations and failed probes: each host once for each of its own."""
    plan = planned(seen)
    found = grouped(plan, ROOM.hosts)
    wiping = [h.host for h in plan.hosts if any(c.disk for c in h.changes)]
    assert sorted(chain(*found.wipes.values())) == sorted(wiping)
    assert sorted(chain(*found.confirm.values())) == sorted(plan.unconfirmed)
    assert sorted(chain(*found.troubles.values())) == sorted(h.host for h in plan.hosts if h.trouble)


def test_hosts_that_differ_in_their_own_values_only_are_one_group() -> None:
    """Names, addresses, serial numbers and disks do not split a group; what is on a disk does."""
    plan = planned({name: new(name) for name in ROOM.hosts} | {"r3-07": foreign("r3-07")})
    found = grouped(plan, ROOM.hosts)
    assert list(found.steps.values()) == [tuple(ROOM.hosts)], "what would be done is the same for all"
    assert found.confirm == {"disk DISK holds ZFS tank": ("r3-07",)}
    assert {text: len(names) for text, names in found.wipes.items()} == {"not inspected yet": FLEET - 1, "ZFS tank": 1}
    assert list(found.troubles) == [UNANSWERED.format("ADDRESS")]


def test_a_plan_of_many_hosts_is_readable() -> None:
    """Four hundred hosts fit on two screens, with the sum first and last, and with the host that must be confirmed."""
    text = list(lines(planned({name: new(name) for name in ROOM.hosts} | {"r3-07": foreign("r3-07")}), ROOM.hosts))
    assert len(text) < 50
    assert text[0] == text[-1] == f"lab-ha: {FLEET} hosts to change, {FLEET} disks to wipe, 0 unchanged"
    assert text[text.index("  disk DISK holds ZFS tank (1 host)") + 1] == "    r3-07"
    assert max(map(len, text)) <= 130


def test_verbose_shows_each_host() -> None:
    """Nothing is grouped, and what a wipe is of is said with its serial number."""
    text = "\n".join(lines(planned({name: new(name) for name in ROOM.hosts}), ROOM.hosts, verbose=True))
    assert all(
        f"\n  {'':18} wipes disk {host.disk.serial}: not inspected yet\n" in text for host in ROOM.hosts.values()
    )
