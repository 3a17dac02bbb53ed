"""What is left with a BMC for its machine by the real clients: it is there, it is secret, and lies are found out."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.agent.nonces import mailbox, media
from bmk.bmc import Access, Bmc, Timeouts, Trust, open_bmc
from bmk.bmc.media_server import CONNECTIONS
from bmk.errors import BmcError
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

from .conftest import PASSWORD, USER, Lab, until

pytestmark = pytest.mark.services
FAST = Timeouts(request=15, patience=20, first_pause=0.2, longest_pause=1, settle=1, poll=0.1)
SECRET = bytes(range(100, 141))
Connect = Callable[..., Bmc]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def connect(lab: Lab, events: list[Event]) -> Connect:
    def open_(name: str) -> Bmc:
        plate, whom = lab[name]["bmc"], Trust(authorities=lab.state / "lab" / "bmc.pem")
        login = Credentials(USER, Secret(PASSWORD))
        return open_bmc(plate["kind"], Access(plate["address"], None, login, whom, notify=events.append, timing=FAST))

    return open_


# -- mailbox -------------------------------------------------------------------------------------------------------

END, ESCAPE, COMMAND_END = 0xA0, 0xAA, 0xA1  # of QEMU's protocol with an external BMC


def read_by_machine(lab: Lab, name: str) -> bytes | None:
    """What the machine itself is answered, as QEMU passes it on from KCS."""
    blocks: list[bytes] = []
    until(lambda: _ask_all(lab[name]["bmc"]["kcs"], blocks), "the simulator takes this machine's connection")
    return mailbox.content(b"".join(blocks))


def _ask_all(port: int, blocks: list[bytes]) -> bool:
    """Get System Boot Options for each block. False: the simulator still thinks that an earlier machine is there."""
    blocks.clear()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as kcs, kcs.makefile("rb") as stream:
            messages = _messages(stream.read)
            for number in range(mailbox.BLOCKS):
                kcs.sendall(_framed(bytes([1, 0, 0x09, 7, number, 0])))
                answer = next(message for message in messages if message[0] == 1)
                blocks.append(mailbox.block_of(answer[3:-1], number))
    except (ConnectionError, StopIteration):
        return False
    return True


def _framed(request: bytes) -> bytes:
    special = (END, ESCAPE, COMMAND_END)
    closed = request + bytes([-sum(request) % 256])
    return b"".join(bytes([ESCAPE, b | 0x10]) if b in special else bytes([b]) for b in closed) + bytes([END])


def _messages(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Messages of the BMC; its commands about power and interrupts are passed over."""
    message = bytearray()
    while byte := read(1):
        if byte[0] == END:
            yield bytes(message)
        if byte[0] in (END, COMMAND_END):
            message.clear()
        else:
            message.append(read(1)[0] & ~0x10 if byte[0] == ESCAPE else byte[0])


def test_the_machine_reads_what_was_left_in_the_mailbox(ipmi: Lab, connect: Connect, events: list[Event]) -> None:
    """Out of band over the LAN, in band by KCS: the same bytes; cleared, there is nothing; no other machine has it."""
    bmc = connect("worker-1")
    bmc.write_mailbox(SECRET)
    bmc.write_mailbox(SECRET)
    assert (read_by_machine(ipmi, "worker-1") or b"").startswith(SECRET)
    assert read_by_machine(ipmi, "worker-2") is None
    bmc.write_mailbox(b"")
    assert read_by_machine(ipmi, "worker-1") is None
    assert [event.kind for event in events] == ["bmc.mailbox"] * 3


def test_a_shorter_text_leaves_nothing_of_a_longer_one(ipmi: Lab, connect: Connect) -> None:
    """Nothing of an earlier grant stays in the mailbox."""
    bmc = connect("worker-1")
    bmc.write_mailbox(b"x" * 64)
    bmc.write_mailbox(SECRET)
    assert (read_by_machine(ipmi, "worker-1") or b"").rstrip(b"\0") == SECRET


@pytest.mark.parametrize("fault", ["bmc-forgets-mailbox", "bmc-truncates-mailbox"])
def test_a_bmc_that_does_not_keep_the_mailbox_is_found_out(ipmi: Lab, connect: Connect, fault: str) -> None:
    """Success without the bytes is an error that says so, names the next step, and does not say the bytes."""
    ipmi.break_("worker-1", fault)
    stores = Path(ipmi["worker-1"]["mailbox"] + ".stores")
    until(lambda: int(stores.read_text()) < mailbox.BLOCK, "the simulator has read its faults")
    with pytest.raises(BmcError, match="shows something else") as caught:
        connect("worker-1").write_mailbox(SECRET)
    assert "console" in caught.value.hint


def test_other_boot_options_are_the_simulators_own(ipmi: Lab, connect: Connect) -> None:
    """The mailbox is added; boot overrides work as before, and an unknown parameter is refused."""
    bmc: Any = connect("worker-1")
    bmc.set_boot_once("pxe", "bios")
    assert ipmi["worker-1"]["boot"]["target"] == "pxe"
    with pytest.raises(BmcError, match="rsp=0xcc"):
        bmc._ask("take another parameter", "raw", "0x00", "0x08", "0x60", "0x00", "0x00")


def test_what_is_left_is_in_no_argv_event_or_error(
    ipmi: Lab, connect: Connect, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lists processes, reads the journal or sees an error learns nothing of it."""
    seen: list[list[str]] = []
    real = subprocess.Popen

    class Watched(real):  # type: ignore[type-arg,misc]
        def __init__(self, argv: list[str], **options: Any) -> None:
            seen.append(argv)
            super().__init__(argv, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    connect("worker-1").write_mailbox(b"\xab" * 41)
    said = [" ".join(argv) for argv in seen] + [str(event) for event in events]
    assert len(seen) > 1
    assert not [text for text in said if "ab ab" in text or "abab" in text or "0xab" in text]


# -- media ---------------------------------------------------------------------------------------------------------


def in_drive(lab: Lab, name: str) -> bytes | None:
    """What the machine finds in its virtual drive."""
    path = Path(lab[name]["medium"]["path"])
    return media.file_of(path.read_bytes()) if lab[name]["medium"]["url"] and path.exists() else None


@pytest.fixture
def url_of(redfish: Lab) -> Callable[[str], str]:
    return lambda name: str(redfish[name]["medium"]["url"])


def test_the_machine_reads_what_is_on_the_inserted_medium(redfish: Lab, connect: Connect, events: list[Event]) -> None:
    """Inserted, the BMC fetches it and the machine has the bytes; again replaces it; ejected, there is nothing."""
    bmc = connect("cp-1")
    bmc.insert_media(b"of an earlier grant")
    bmc.insert_media(SECRET)
    assert in_drive(redfish, "cp-1") == SECRET
    bmc.eject_media()
    bmc.eject_media()
    assert in_drive(redfish, "cp-1") is None
    assert [event.kind for event in events] == ["bmc.media"] * 3
    assert not [event for event in events if SECRET.hex() in str(event) or "http" in str(event)]


def test_a_medium_is_served_to_its_bmc_only(
    redfish: Lab, connect: Connect, url_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its own address the URL works, piece by piece too; from another not, nor guessed, nor once ejected."""
    bmc = connect("cp-1")
    bmc.insert_media(SECRET)
    connect("cp-2").insert_media(b"of another machine")
    url = url_of("cp-1")
    assert len(url.split("/")[3]) >= 32
    whole = fetch(url, "10.78.0.11")
    assert media.file_of(whole) == SECRET
    assert fetch(url, "10.78.0.11", part="bytes=32768-32773") == b"\1CD001"
    assert fetch(url, "10.78.0.12") is None
    assert fetch(url, "10.78.0.77") is None
    assert fetch(url.replace(url.split("/")[3], "x" * 32), "10.78.0.11") is None
    bmc.eject_media()
    assert fetch(url, "10.78.0.11") is None
    connect("cp-2").eject_media()


def fetch(url: str, address: str, part: str = "") -> bytes | None:
    """What an address gets, None when it is refused."""
    import http.client  # noqa: PLC0415

    server = url.split("/")[2]
    connection = http.client.HTTPConnection(server, timeout=20, source_address=(address, 0))
    try:
        connection.request("GET", url.partition(server)[2], headers={"Range": part} if part else {})
        answer = connection.getresponse()
        return answer.read() if answer.status in (200, 206) else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_a_flood_of_one_bmc_does_not_keep_others_from_their_media(
    redfish: Lab, connect: Connect, url_of: Callable[[str], str]
) -> None:
    """Silent connections of one BMC are limited, another BMC is served meanwhile, and strangers are not heard."""
    connect("cp-1").insert_media(SECRET)
    connect("cp-2").insert_media(SECRET)
    host, _, port = url_of("cp-1").split("/")[2].rpartition(":")
    flood = [socket.create_connection((host, int(port)), 20, ("10.78.0.11", 0)) for _ in range(CONNECTIONS * 3)]
    try:
        assert fetch(url_of("cp-2"), "10.78.0.12")
        until(lambda: sum(_is_closed(one) for one in flood) == CONNECTIONS * 2, "the rest is refused")
        with socket.create_connection((host, int(port)), 20, ("10.78.0.77", 0)) as stranger:
            until(lambda: _is_closed(stranger), "the stranger is refused", 10)
    finally:
        for one in flood:
            one.close()
    connect("cp-1").eject_media()
    connect("cp-2").eject_media()


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_bmc_that_inserts_or_ejects_nothing_is_found_out(redfish: Lab, connect: Connect) -> None:
    """204 without effect is an error that names the next step; what was offered is withdrawn."""
    bmc = connect("cp-1")
    redfish.break_("cp-1", "bmc-ignores-media")
    with pytest.raises(BmcError, match="shows none") as caught:
        bmc.insert_media(SECRET)
    assert "console" in caught.value.hint
    redfish["cp-1"]["faults"].clear()
    bmc.insert_media(SECRET)
    redfish.break_("cp-1", "bmc-ignores-media")
    with pytest.raises(BmcError, match="keeps the virtual media"):
        bmc.eject_media()


def test_somebody_elses_medium_stays(redfish: Lab, connect: Connect) -> None:
    """A drive with a medium that is not ours is refused and left alone, and there is nothing of ours to eject."""
    redfish["cp-1"]["medium"]["url"] = "http://10.78.0.1/rescue.iso"
    bmc = connect("cp-1")
    with pytest.raises(BmcError, match="somebody else's medium"):
        bmc.insert_media(SECRET)
    bmc.eject_media()
    assert redfish["cp-1"]["medium"]["url"] == "http://10.78.0.1/rescue.iso"


def test_each_kind_names_the_way_that_it_has(redfish: Lab, ipmi: Lab, connect: Connect) -> None:
    """What a kind of BMC cannot do is an error with another way in its hint."""
    with pytest.raises(BmcError) as caught:
        connect("cp-1").write_mailbox(SECRET)
    assert "media" in caught.value.hint
    with pytest.raises(BmcError) as caught:
        connect("worker-1").insert_media(SECRET)
    assert "mailbox" in caught.value.hint
