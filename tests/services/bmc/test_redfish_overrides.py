"""Where the next boot goes, on BMCs that want it said in their own way, or cannot do it at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, Bmc, Timeouts, Trust, open_bmc
from bmk.errors import BmcError
from bmk.secrets import Credentials, Secret

from .hostile import SYSTEM, Asked, Hostile, serving

pytestmark = pytest.mark.services
FAST = Timeouts(connect=3, request=5, patience=1, call=20, first_pause=0.1, longest_pause=0.2, settle=0.3, poll=0.05)
Boot = dict[str, Any]
Refuses = Callable[[Boot, Asked], bool]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hostile]:
    with serving(tmp_path / "bmc") as server:
        yield server


def bmc(server: Hostile) -> Bmc:
    return open_bmc(
        "redfish",
        Access(
            "127.0.0.1", server.port, Credentials("u", Secret("p")), Trust(authorities=server.certificate), timing=FAST
        ),
    )


def boots(server: Hostile, boot: Boot, refuses: Refuses = lambda boot, asked: False) -> Boot:
    """The server's system has this override, and takes a PATCH that it does not refuse. Returns what it has."""
    server.pages[SYSTEM]["Boot"] = boot

    def patch(handler: Any) -> None:
        asked = server.asked[-1]
        asked.proof = handler.headers.get("If-Match") or ""
        wanted = json.loads(asked.body)["Boot"]
        if refuses(wanted, asked):
            handler.wfile.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
            return
        boot.update(wanted)
        handler.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    server.pages[f"PATCH {SYSTEM}"] = patch
    return boot


def of(enabled: str, target: str, **more: Any) -> Boot:
    return {"BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target, **more}


def writes(server: Hostile) -> list[Boot]:
    return [json.loads(asked.body)["Boot"] for asked in server.asked if asked.method == "PATCH"]


@pytest.mark.parametrize(
    "boot",
    [of("Disabled", "Pxe"), of("Once", "None"), of("Continuous", "Hdd"), of("Once", "Hdd"), {}, of("Disabled", "None")],
)
def test_a_boot_from_disk_needs_no_clearing(server: Hostile, boot: Boot) -> None:
    """No target, and the disk as target, mean the disk: nothing is written, and nothing is told as an override."""
    boots(server, boot)
    machine = bmc(server)
    assert machine.boot_override() == ""
    machine.clear_boot_once()
    assert writes(server) == []


def test_a_bmc_that_cannot_disable_gets_the_disk(server: Hostile) -> None:
    """Where Disabled is not among the values, the override is set to no target, else to the disk."""
    values = {"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Once", "Continuous"]}
    boot = boots(server, of("Continuous", "Pxe", **values))
    bmc(server).clear_boot_once()
    assert boot["BootSourceOverrideTarget"] == "None"
    boot |= of("Once", "Pxe", **{"BootSourceOverrideTarget@Redfish.AllowableValues": ["Pxe", "Hdd"]})
    bmc(server).clear_boot_once()
    assert boot["BootSourceOverrideTarget"] == "Hdd"


def test_a_bmc_that_refuses_to_disable_gets_the_disk(server: Hostile) -> None:
    """Whatever its lists of values say."""
    boot = boots(server, of("Once", "Pxe"), lambda wanted, _: wanted["BootSourceOverrideEnabled"] == "Disabled")
    bmc(server).clear_boot_once()
    assert (boot["BootSourceOverrideEnabled"], boot["BootSourceOverrideTarget"]) == ("Once", "None")


def test_a_bmc_that_wants_the_mode_with_the_target_gets_it(server: Hostile) -> None:
    """The mode is left out where it is right already, and sent where the BMC refuses a target without it."""
    start = of("Disabled", "None", BootSourceOverrideMode="UEFI")
    boot = boots(server, start, lambda wanted, _: "BootSourceOverrideMode" not in wanted)
    bmc(server).set_boot_once("pxe", "uefi")
    assert (boot["BootSourceOverrideEnabled"], boot["BootSourceOverrideTarget"]) == ("Once", "Pxe")
    assert [len(one) for one in writes(server)] == [2, 3]


@pytest.mark.parametrize("firmware", ["uefi", "bios"])
def test_a_refusal_of_every_form_is_told_once(server: Hostile, firmware: Any) -> None:
    """With what the BMC said, and a next command; asking for minutes would change nothing."""
    boots(server, of("Disabled", "None", BootSourceOverrideMode="UEFI"), lambda *_: True)
    with pytest.raises(BmcError, match="refuses the boot override") as caught:
        bmc(server).set_boot_once("pxe", firmware)
    assert caught.value.hint
    assert len(writes(server)) == 2


def test_no_http_boot_names_the_other_way(server: Hostile) -> None:
    """A BMC without such a target is told apart before anything is written, in the file's words."""
    boots(
        server, of("Disabled", "None", **{"BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd"]})
    )
    with pytest.raises(BmcError, match="cannot be told to boot by http") as caught:
        bmc(server).set_boot_once("http", "uefi")
    assert "boot: pxe" in caught.value.hint
    assert caught.value.why == "it offers None, Pxe, Hdd"
    assert writes(server) == []


def test_an_etag_in_the_document_is_sent(server: Hostile) -> None:
    """Some BMCs demand If-Match and have the tag in the document only."""
    server.pages[SYSTEM]["@odata.etag"] = 'W/"4711"'
    boots(server, of("Disabled", "None"), lambda _, asked: asked.proof != 'W/"4711"')
    bmc(server).set_boot_once("pxe", "uefi")
    assert [asked.proof for asked in server.asked if asked.method == "PATCH"] == ['W/"4711"']


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_write_that_is_redirected_is_still_a_write(server: Hostile, status: int) -> None:
    """To another spelling of the same place it is sent again, whole; it never becomes a read without a body."""
    boot = boots(server, of("Disabled", "None"))
    spelled, server.pages[f"PATCH {SYSTEM}"] = server.pages[f"PATCH {SYSTEM}"], None

    def once(handler: Any) -> None:
        if handler.path.endswith("/"):
            spelled(handler)
            return
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {SYSTEM}/\r\nContent-Length: 0\r\n\r\n"
        handler.wfile.write(head.encode())

    server.pages[f"PATCH {SYSTEM}"] = once
    bmc(server).set_boot_once("pxe", "uefi")
    assert (boot["BootSourceOverrideTarget"], len(writes(server))) == ("Pxe", 2)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_to_an_outcome_is_not_followed(server: Hostile, status: int) -> None:
    """What came of a write is read back from the machine; the place that the BMC names may not be there."""
    posted = (status, {"Location": "/redfish/v1/TaskService/Tasks/1"}, b"")
    server.pages[f"POST {SYSTEM}/Reset"] = posted
    machine = bmc(server)
    with pytest.raises(BmcError, match="accepted power on and still reports off"):
        machine.set_power("on")
    assert not [asked for asked in server.asked if "TaskService" in asked.path]


@pytest.mark.parametrize(("status", "told"), [(404, ""), (503, "error")])
def test_settings_that_cannot_be_read_are_not_taken_for_none(server: Hostile, status: int, told: str) -> None:
    """Where the override is kept apart and cannot be read now, nobody says that there is none."""
    boots(server, of("Disabled", "None"))
    server.pages[SYSTEM]["@Redfish.Settings"] = {"SettingsObject": {"@odata.id": f"{SYSTEM}/SD"}}
    server.pages[f"{SYSTEM}/SD"] = (status, {}, b"{}")
    if told:
        with pytest.raises(BmcError, match="did not report the boot override"):
            bmc(server).boot_override()
    else:
        assert bmc(server).boot_override() == ""
