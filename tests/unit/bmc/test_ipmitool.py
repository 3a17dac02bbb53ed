"""What ipmitool says is a BMC's word: bounded in size and time, and a refused password is not said twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.bmc import Access, Bmc, Logins, Timeouts, open_bmc
from bmk.errors import BmcError, BmcRefuses, ConfigError
from bmk.secrets import Credentials, Secret

FAST = Timeouts(request=1, patience=1, first_pause=0.1)
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
    return open_bmc("ipmi", Access("192.0.2.1", None, Credentials("root", Secret("calvin")), timing=FAST, **more))  # type: ignore[arg-type]


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
        open_bmc("ipmi", Access("192.0.2.1", None, Credentials("root", Secret("€" * 7))))


@pytest.mark.parametrize(
    "refusal",
    [
        "Set Session Privilege Level to ADMINISTRATOR failed: Requested privilege level exceeds limit",
        "RAKP 2 message indicates an error : unauthorized role or privilege level requested",
        "RAKP 2 message indicates an error : unauthorized name",
    ],
)
def test_an_account_that_is_only_operator_is_enough(says: Path, refusal: str) -> None:
    """A user who may not be administrator is asked to be operator, for good: the password is not wrong."""
    unable = "Error: Unable to establish IPMI v2 / RMCP+ session"
    machine = bmc(
        says,
        f'case "$*" in *"-L OPERATOR"*) echo "Chassis Power is on";; *) echo "{refusal}\n{unable}" >&2; exit 1;; esac',
    )
    assert machine.power() == "on"
    assert calls(says) == 3
    assert machine.power() == "on"
    assert calls(says) == 4


def test_a_user_who_is_not_even_operator_is_refused_once(says: Path) -> None:
    """Two questions, then nobody asks again."""
    unable = "RAKP 2 message indicates an error : unauthorized name\nError: Unable to establish IPMI v2 / RMCP+ session"
    logins = Logins()
    for _ in range(2):
        with pytest.raises(BmcRefuses, match="refuses this username and password"):
            bmc(says, f'echo "{unable}" >&2; exit 1', logins=logins).power()
    assert calls(says) == 2


def test_a_bmc_without_a_guid_has_the_rest_of_its_identity(says: Path) -> None:
    """Get System GUID is optional: 0xc1 is no trouble."""
    text = "Unable to send RAW command (channel=0x0 netfn=0x6 lun=0x0 cmd=0x37 rsp=0xc1): Invalid command"
    fru, rest = 'echo " Product Serial : S1"', 'echo "Chassis Power is on"'
    script = f'case "$*" in *0x37*) echo "{text}" >&2; exit 1;; *fru*) {fru};; *) {rest};; esac'
    identity = bmc(says, script).identity()
    assert (identity.uuid, identity.serial) == (None, "S1")


@pytest.mark.parametrize(
    ("fru", "serial"),
    [
        ("Product Serial : S1\n Chassis Serial : C1", "S1"),
        ("Product Serial : 0123456789\n Chassis Serial : C1", "C1"),
        ("Product Serial : To be filled by O.E.M.\n Chassis Serial : ..........", None),
    ],
)
def test_a_serial_that_says_nothing_is_none(says: Path, fru: str, serial: str | None) -> None:
    """The next one in the FRU data is asked then."""
    machine = bmc(says, f'case "$*" in *fru*) echo "{fru}";; *0x37*) ;; *) echo "Chassis Power is on";; esac')
    assert machine.identity().serial == serial


def test_it_runs_in_one_language_and_zone(says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ipmitool prints does not depend on who runs bmk, and where."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    bmc(says, f'echo "$TZ $LC_ALL" > {says}/env; echo "Chassis Power is on"').power()
    assert (says / "env").read_text() == "UTC C\n"


def test_a_password_goes_in_as_utf_8(says: Path) -> None:
    """`€` is three bytes of the twenty."""
    machine = open_bmc("ipmi", Access("192.0.2.1", None, Credentials("root", Secret("a€b")), timing=FAST))
    tool = says / "ipmitool"
    tool.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -f ]; do shift; done\ncat "$2" > {says}/password\necho Chassis Power is on\n'
    )
    tool.chmod(0o755)
    assert machine.power() == "on"
    assert (says / "password").read_bytes() == "a€b".encode()
