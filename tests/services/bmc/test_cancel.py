"""Orders that would reach a BMC after their deadline, or from a run that lost its lock, are not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from bmk.bmc import Access, Bmc, Timeouts, Trust, open_bmc
from bmk.datacenter.load import load_datacenter
from bmk.engine.batches import Batches
from bmk.engine.journal_watcher import JournalWatcher
from bmk.engine.lock import RunLock
from bmk.engine.rollout import Disruptions, Rollout
from bmk.engine.run import Run
from bmk.errors import LockHeld
from bmk.journal import Journal
from bmk.permit import permitted
from bmk.secrets import Credentials, Secret
from tests.services.bmc.conftest import until

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[3]
USER, PASSWORD = "operator", "right-horse-battery"
FAST = Timeouts(connect=3, request=20, patience=60, first_pause=0.2, longest_pause=1, settle=1.5, poll=0.1)
ORDERS: dict[str, Callable[[Bmc], None]] = {
    "power": lambda bmc: bmc.set_power("on"),
    "boot": lambda bmc: bmc.set_boot_once("pxe", "uefi"),
    "medium": lambda bmc: bmc.insert_media(b"secret"),
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    journal = Journal.open(tmp_path)
    dc = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
    with ThreadPoolExecutor(2) as pool:
        turns = Disruptions({"lab-ha": Rollout()})
        yield Run("r1", dc, journal, cast(Any, None), JournalWatcher(journal), Batches(0.01), pool, turns)


def connect(lab: Any, name: str) -> Bmc:
    plate = lab[name]["bmc"]
    trust = Trust(authorities=lab.state / "lab" / "bmc.pem")
    return open_bmc(
        plate["kind"], Access(plate["address"], None, Credentials(USER, Secret(PASSWORD)), trust, timing=FAST)
    )


def cancelled_at(run: Run, lab: Any, asked: int, order: Callable[[], None]) -> None:
    """Start an order, cancel it when the BMC has so many requests, and wait until its thread has ended."""

    async def deadline() -> None:
        task = asyncio.create_task(run.call(order))
        await asyncio.to_thread(until, lambda: len(lab.asked) >= asked, f"the BMC has {asked} requests")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(deadline())


@pytest.mark.parametrize("what", ["power", "boot"])
def test_a_slow_bmc_gets_no_order_after_the_deadline(redfish: Any, run: Run, what: str) -> None:
    """The BMC still thinks about the first question when time is up: the order that would follow is never sent."""
    bmc = connect(redfish, "cp-1")
    redfish.break_("cp-1", "bmc-slow")
    cancelled_at(run, redfish, 1, lambda: ORDERS[what](bmc))
    run.pool.shutdown(wait=True)
    assert set(redfish.asked) == {"list"}, "only questions"
    assert (redfish["cp-1"]["power"], redfish["cp-1"]["boot"]["enabled"]) == ("off", "disabled")


def test_a_busy_bmc_gets_no_order_when_it_has_time_again(redfish: Any, run: Run) -> None:
    """Tries that were going on when the deadline passed end there, though the BMC would take the order now."""
    bmc = connect(redfish, "cp-1")
    redfish.break_("cp-1", "bmc-503")
    cancelled_at(run, redfish, 2, lambda: bmc.set_power("on"))
    before = len(redfish.asked)
    redfish["cp-1"]["faults"].clear()
    run.pool.shutdown(wait=True)
    assert len(redfish.asked) <= before + 1, "nothing but what was under way"
    assert redfish["cp-1"]["power"] == "off"


@pytest.mark.parametrize("what", list(ORDERS))
def test_a_run_whose_lock_was_taken_asks_no_redfish_bmc(redfish: Any, run: Run, what: str) -> None:
    """Not one request: the error names who has the lock now."""
    bmc = connect(redfish, "cp-1")
    robbed(run, lambda: ORDERS[what](bmc))
    assert redfish.asked == []


def test_a_run_whose_lock_was_taken_asks_no_ipmi_bmc(ipmi: Any, run: Run) -> None:
    """Power, boot order and mailbox stay as they are."""
    bmc, asked = connect(ipmi, "worker-1"), list(ipmi.asked)
    for order in (ORDERS["power"], lambda b: b.set_boot_once("pxe", "bios"), lambda b: b.write_mailbox(b"secret")):
        robbed(run, lambda o=order: o(bmc))  # type: ignore[misc]
    assert {"power", "boot"}.isdisjoint(ipmi.asked[len(asked) :])
    assert ipmi["worker-1"]["power"] == "off"


def robbed(run: Run, order: Callable[[], None]) -> None:
    """An order of a run whose lock another machine has taken."""

    async def ordered(lock: RunLock) -> None:
        with permitted(lock.check):
            await run.call(order)

    with RunLock(run.journal, run.id) as lock:
        with run.journal.transaction() as db:
            db.execute("UPDATE leases SET fence = fence + 1 WHERE name = 'run'")
        with pytest.raises(LockHeld, match="another run took the lock"):
            asyncio.run(ordered(lock))
