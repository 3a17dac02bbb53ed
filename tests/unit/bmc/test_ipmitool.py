"""What ipmitool says is a BMC's word: bounded in size and time, and a refused password is not said twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.bmc import Bmc, Logins, Timing, open_bmc
from bmk.errors import BmcError, BmcRefuses, ConfigError

FAST = Timing(request=1, patience=1, first_pause=0.1)
REFUSES = 'echo "Error: Unable to establish IPMI v2 / RMCP+ session" >&2; echo "RAKP 2 HMAC is invalid" >&2; exit 1'


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first in PATH; `ipmitool` in it is what a test writes."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def bmc(says: Path, script: str, **more: Logins) -> Bmc:
    tool = says / "ipmitool"
    tool.write_text(f"#!/bin/sh\necho x >> {says}/calls\n{script}\n")
    tool.chmod(0o755)
    return open_bmc("ipmi", "192.0.2.1", None, ("root", "calvin"), timing=FAST, **more)  # type: ignore[arg-type]


def calls(says: Path) -> int:
    return len((says / "calls").read_text().splitlines())


def test_a_refused_password_is_said_once(says: Path) -> None:
    """One session for a whole run: neither the retries of a phase nor the next phase try the same password again."""
    logins = Logins()
    for _ in range(3):
        with pytest.raises(BmcRefuses, match="refuses this username and password"):
            bmc(says, REFUSES, logins=logins).power()
    assert calls(says) == 1


def test_an_answer_without_end_is_cut_off(says: Path) -> None:
    """More than any event log has is not kept."""
    with pytest.raises(BmcError, match="longer than any honest one"):
        bmc(says, "yes 0123456789012345678901234567890123456789").event_log()


def test_an_answer_that_drips_is_given_up(says: Path) -> None:
    """A line now and then keeps no call alive."""
    with pytest.raises(BmcError) as caught:
        bmc(says, "for n in $(seq 300); do echo on; sleep 0.1; done").power()
    assert caught.value.why == "no answer"


def _guid(says: Path, answer: str) -> Bmc:
    return bmc(says, f'case "$*" in *0x37*) echo "{answer}";; *) echo "Chassis Power is on";; esac')


@pytest.mark.parametrize("answer", ["not hex", "zz zz", "1"])
def test_odd_bytes_are_this_bmcs_trouble(says: Path, answer: str) -> None:
    """What should be bytes in hex and is not ends in BmcError, never in a ValueError."""
    with pytest.raises(BmcError, match="cannot be understood") as caught:
        _guid(says, answer).identity()
    assert caught.value.hint


@pytest.mark.parametrize("answer", ["01", ""])
def test_too_few_bytes_are_no_uuid(says: Path, answer: str) -> None:
    """A BMC without a GUID has the rest of its identity all the same."""
    assert _guid(says, answer).identity().uuid is None


def test_a_password_is_measured_in_bytes() -> None:
    """IPMI has 20 bytes for it: what is longer would be cut off in silence."""
    with pytest.raises(ConfigError, match="20 bytes"):
        open_bmc("ipmi", "192.0.2.1", None, ("root", "€" * 7))
