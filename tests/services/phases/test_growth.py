"""What a host costs does not depend on how many there are: requests are counted for few and for many."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.simulated import datacenter
from tests.lab import Lab, running

pytestmark = pytest.mark.services

REQUEST = re.compile(r'"(?:GET|PATCH|POST) /redfish')


@dataclass(frozen=True)
class Spent:
    """Requests by one host, on average: to its BMC, and to the boot service."""

    bmc: float
    boot: float


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Spent]:
    return {count: _provisioned(count, tmp_path_factory.mktemp(f"growth-{count}")) for count in (4, 20)}


def _provisioned(count: int, place: Path) -> Spent:
    file = place / "dc" / "dc.yml"
    file.parent.mkdir()
    name = f"growth-{count}"  # of its own: on a server, journals of one name are one journal
    file.write_text(datacenter(count).replace("{name: simulated}", f"{{name: {name}}}"))
    with running(name, str(file), place, own_cache=True) as lab:
        lab.bmk("lab up")
        lab.bmk("provision", "--yes")
        return Spent(_bmc_requests(lab) / count, _boot_requests(lab) / count)


def _bmc_requests(lab: Lab) -> int:
    return len(REQUEST.findall((lab.state / lab.name / "lab/services/redfish.log").read_text()))


def _boot_requests(lab: Lab) -> int:
    return sum(event.kind.startswith(("boot.", "agent.")) for event in lab.journal.since())


def test_a_host_costs_at_most_its_budget(spent: dict[int, Spent]) -> None:
    """Powered off to reachable, with its proof: at most 30 requests to its BMC, and 6 answers of the boot service."""
    assert all(1 <= s.bmc <= 30 for s in spent.values())
    assert all(1 <= s.boot <= 6 for s in spent.values())


def test_five_times_the_hosts_are_five_times_the_requests(spent: dict[int, Spent]) -> None:
    """No host pays for another one: the requests of a host are the same, whatever the number of hosts."""
    assert spent[20].bmc == pytest.approx(spent[4].bmc, rel=0.1)
    assert spent[20].boot == pytest.approx(spent[4].boot, rel=0.1)
