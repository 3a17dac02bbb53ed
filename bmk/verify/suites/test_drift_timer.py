"""The nightly look for drift: the timer runs, and what it starts may do little."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bmk.verify.suites.kinds import nothing, test_files, test_units  # noqa: F401 - tests of this suite


@pytest.fixture
def unit(recorded: Callable[[str], Any]) -> str:
    """Name of the look, without .timer or .service; one for each data center."""
    return str(recorded("units")[0]["name"].removesuffix(".timer"))


def test_the_next_look_is_set(host: Any, unit: str) -> None:
    """systemd knows when."""
    when = host.check_output(f"systemctl show -P NextElapseUSecRealtime {unit}.timer")
    assert when not in ("", "n/a"), f"{unit}.timer has no next time"


def test_the_last_look_ended_well(host: Any, unit: str) -> None:
    """It found drift or not; but it looked."""
    result = host.check_output(f"systemctl show -P Result {unit}.service")
    assert result == "success", f"{unit}.service: {result}"


def test_its_program_can_be_run(host: Any, unit: str) -> None:
    """bmk is where the unit expects it."""
    start = re.search(r"lock (\S+) drift ", host.check_output(f"cat /etc/systemd/system/{unit}.service"))
    assert start is not None, "the unit does not look for drift"
    assert host.run(f"test -x {start[1]}").rc == 0, f"{start[1]} cannot be run"


def test_it_is_not_root(host: Any, unit: str) -> None:
    """Journal and keys belong to the user that runs bmk; without capabilities root cannot read them."""
    assert host.check_output(f"systemctl show -P User {unit}.service") not in ("", "root")


def test_it_may_do_little(host: Any, unit: str) -> None:
    """systemd's own judgement of the sandbox: at most 2.0 of 10 are left open."""
    said = host.run(f"systemd-analyze security --no-pager {unit}.service").stdout
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= 2.0, exposure[0]


def test_pages_can_be_read(host: Any, recorded: Callable[[str], Any]) -> None:
    """Whoever serves or scrapes them is not root: every directory on the way may be entered."""
    paths = [item["path"] for item in recorded("files") if item["desired"]["type"] == "directory"]
    nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups ls"
    nothing([f"{path} cannot be read" for path in paths if host.run(f"{nobody} {path}").rc != 0])
