"""A BMC that was taken over gets nothing: no password for another address, no time, no memory, no second guess."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Access, Bmc, Logins, Machine, Timeouts, Trust, open_bmc
from bmk.bmc.https import LONGEST_ANSWER
from bmk.errors import BmcError, BmcRefuses
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

from .hostile import ROOT, SESSIONS, SYSTEM, Hostile, serving, slowly

pytestmark = pytest.mark.services
FAST = Timeouts(connect=3, request=3, patience=1, call=20, first_pause=0.1, longest_pause=0.2, settle=0.5, poll=0.1)
USER, PASSWORD = "operator", "right-horse-battery"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hostile]:
    with serving(tmp_path / "bmc") as server:
        yield server


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Hostile]:
    """Where the attacker would like requests to go."""
    with serving(tmp_path / "other") as server:
        yield server


def bmc(server: Hostile, timing: Timeouts = FAST, **more: Any) -> Bmc:
    trust = more.pop("trust", Trust(authorities=server.certificate))
    return open_bmc(
        "redfish", Access("127.0.0.1", server.port, Credentials(USER, Secret(PASSWORD)), trust, timing=timing, **more)
    )


def _reset_elsewhere(server: Hostile, url: str) -> None:
    server.pages[SYSTEM]["Actions"]["#ComputerSystem.Reset"]["target"] = f"{url}/reset"


def _system_elsewhere(server: Hostile, url: str) -> None:
    server.pages[f"{ROOT}/Systems"]["Members"] = [{"@odata.id": f"{url}{SYSTEM}"}]


def _systems_elsewhere(server: Hostile, url: str) -> None:
    server.pages[ROOT]["Systems"] = {"@odata.id": f"{url}{ROOT}/Systems"}


def _sessions_elsewhere(server: Hostile, url: str) -> None:
    server.pages[ROOT]["Links"]["Sessions"]["@odata.id"] = f"{url}{SESSIONS}"


def _redirect(server: Hostile, url: str) -> None:
    server.pages[SYSTEM] = (302, {"Location": f"{url}{SYSTEM}"}, b"")


def _redirect_the_password(server: Hostile, url: str) -> None:
    server.pages[f"POST {SESSIONS}"] = (307, {"Location": f"{url}{SESSIONS}"}, b"")


def _settings_elsewhere(server: Hostile, url: str) -> None:
    server.pages[SYSTEM]["@Redfish.Settings"] = {"SettingsObject": {"@odata.id": f"{url}/SD"}}


def _trouble(ask: Callable[[], object]) -> str:
    try:
        ask()
    except BmcError as error:
        return str(error)
    return ""


LURES = [
    _reset_elsewhere, _system_elsewhere, _systems_elsewhere, _sessions_elsewhere, _redirect, _redirect_the_password,
    _settings_elsewhere,
]  # fmt: skip


@pytest.mark.parametrize("lure", LURES)
@pytest.mark.parametrize("scheme", ["https", "http", ""])
def test_nothing_leaves_for_another_address(server: Hostile, other: Hostile, lure: Any, scheme: str) -> None:
    """Wherever a BMC writes an address that is not its own, nothing is sent there, and the error names it."""
    events: list[Event] = []
    lure(server, f"{scheme}:{other.url.partition(':')[2]}" if scheme else f"//127.0.0.1:{other.port}")
    machine = bmc(server, notify=events.append)
    told = [caught for ask in (machine.boot_override, lambda: machine.set_power("on")) if (caught := _trouble(ask))]
    assert other.asked == []
    assert any(str(other.port) in text for text in told)


def test_a_link_to_its_own_address_is_followed(server: Hostile) -> None:
    """An absolute address is fine when it is that of the BMC itself: some write all links so."""
    _system_elsewhere(server, server.url)
    assert bmc(server).power() == "off"


def test_the_place_of_a_session_is_never_an_address(server: Hostile, other: Hostile) -> None:
    """Logging out goes to the BMC that gave the session, whatever host the answer names."""
    server.pages[f"POST {SESSIONS}"] = (201, {"X-Auth-Token": "t", "Location": f"{other.url}{SESSIONS}/1"}, b"{}")
    machine = bmc(server)
    machine.power()
    machine.disconnect()
    assert other.asked == []
    assert [(a.method, a.path) for a in server.asked][-1] == ("DELETE", f"{SESSIONS}/1")


def test_the_password_travels_once(server: Hostile) -> None:
    """With sessions, one request carries the password; the others carry the token, and the last ends the session."""
    machine = bmc(server)
    machine.power()
    machine.identity()
    machine.disconnect()
    assert sum(b"right-horse" in a.body for a in server.asked) == 1
    assert not [a for a in server.asked if a.proof.startswith("Basic")]
    assert (server.asked[-1].method, server.asked[-1].proof) == ("DELETE", "token-1")


def test_a_bmc_without_sessions_gets_basic(server: Hostile) -> None:
    """Where there is no session service, the password goes with each request, to this BMC only."""
    del server.pages[ROOT]["Links"]
    assert bmc(server).power() == "off"
    assert {a.proof[:5] for a in server.asked if a.path != ROOT} == {"Basic"}


def test_a_bmc_with_all_sessions_taken_gets_basic(server: Hostile) -> None:
    """Killed runs may have left sessions behind: that keeps nobody out."""
    body = json.dumps({"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.SessionLimitExceeded"}]}})
    server.pages[f"POST {SESSIONS}"] = (400, {}, body.encode())
    assert bmc(server).power() == "off"


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_password_is_sent_once(server: Hostile, status: int) -> None:
    """However a BMC words it: one try for a whole run, and no second one with Basic."""
    server.pages[f"POST {SESSIONS}"] = (status, {}, b"{}")
    logins = Logins()
    for _ in range(3):
        with pytest.raises(BmcRefuses, match="refuses this username and password"):
            bmc(server, logins=logins).power()
    assert len(server.secrets()) == 1


def test_a_password_refused_with_basic_is_sent_once(server: Hostile) -> None:
    """The same without sessions."""
    del server.pages[ROOT]["Links"]
    server.pages[f"{ROOT}/Systems"] = (401, {}, b"")
    logins = Logins()
    for _ in range(3):
        with pytest.raises(BmcRefuses):
            bmc(server, logins=logins).power()
    assert len(server.secrets()) == 1


def test_a_password_that_was_taken_is_tried_a_few_times(server: Hostile) -> None:
    """A BMC that starts may refuse everybody: what it took before is tried again, but not until the account locks."""
    logins = Logins()
    machine = bmc(server, logins=logins, timing=replace(FAST, patience=5))
    machine.power()
    machine.disconnect()
    server.pages[f"POST {SESSIONS}"] = (401, {}, b"{}")
    with pytest.raises(BmcRefuses):
        machine.power()
    assert sum(a.method == "POST" for a in server.asked) == 1 + 3


def test_a_bmc_that_starts_is_waited_for_without_a_password(server: Hostile) -> None:
    """401 for what is open to all, or no system yet: it starts. It is asked again, and sees no password until then."""
    root, systems = server.pages[ROOT], server.pages[f"{ROOT}/Systems"]
    server.pages[ROOT] = (401, {}, b"")
    with pytest.raises(BmcError, match="did not report its power state"):
        bmc(server).power()
    assert server.secrets() == []
    server.pages[ROOT], server.pages[f"{ROOT}/Systems"] = root, {**systems, "Members": []}
    with pytest.raises(BmcError, match="did not report its power state") as caught:
        bmc(server).power()
    assert "may be starting" in caught.value.why


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def test_an_answer_that_drips_is_given_up(server: Hostile) -> None:
    """A byte now and then keeps no call alive: body or head, the exchange ends, long before the answer would."""
    body = json.dumps(server.pages[SYSTEM]).encode()
    for answer in (_head(len(body)) + body, b"X" * 150 + _head(len(body)) + body):
        server.pages[SYSTEM] = slowly(answer, 0.05, 200)  # ten seconds, then it would be whole
        with pytest.raises(BmcError) as caught:
            bmc(server, timing=replace(FAST, request=1)).power()
        assert caught.value.why == "no answer"


def test_a_chain_of_slow_answers_is_given_up(server: Hostile) -> None:
    """Each answer comes in time and there is always one more: the call as a whole has an end."""
    page = {"Members": [], "Members@odata.nextLink": ""}
    for n in range(90):
        page["Members@odata.nextLink"] = f"{ROOT}/p{n + 1}"
        body = json.dumps(page).encode()
        server.pages[f"{ROOT}/p{n}"] = slowly(_head(len(body)) + body, 0.2, 2)
    server.pages[ROOT]["Systems"] = {"@odata.id": f"{ROOT}/p0"}
    with pytest.raises(BmcError):
        bmc(server, timing=replace(FAST, call=2)).power()
    assert len(server.asked) < 50


@pytest.mark.parametrize("packed", [False, True])
def test_a_flood_is_cut_off(server: Hostile, packed: bool) -> None:
    """More than any honest answer has is not kept, packed or not."""
    body = b'{"Name": "' + b"x" * LONGEST_ANSWER + b'"}'
    headers = {"Content-Encoding": "gzip"} if packed else {}
    server.pages[SYSTEM] = (200, headers, gzip.compress(body) if packed else body)
    with pytest.raises(BmcError, match="longer than any honest one"):
        bmc(server).power()


@pytest.mark.parametrize(
    ("path", "page"),
    [
        (ROOT, []),
        (ROOT, (200, {}, b"<html>starting</html>")),
        (f"{ROOT}/Systems", {"Members": None}),
        (f"{ROOT}/Systems", {"Members": [None, "x", {"@odata.id": None}]}),
        (SYSTEM, (200, {}, b"[" * 100_000)),
        (SYSTEM, (200, {}, b"\xff\xfe\x00")),
        (SYSTEM, {"Id": "1", "Name": "System", "PowerState": {"x": 1}}),
        (SYSTEM, {"Id": "1", "Name": "System"}),
        (SYSTEM, (418, {}, b'["no", "object"]')),
        (SYSTEM, (400, {}, b'{"error": "text"}')),
        (SYSTEM, (400, {}, b'{"error": {"@Message.ExtendedInfo": [null]}}')),
        (SYSTEM, (302, {"Location": SYSTEM}, b"")),
    ],
)
def test_an_odd_document_is_this_bmcs_trouble(server: Hostile, path: str, page: Any) -> None:
    """Whatever an answer holds, the caller gets BmcError with a next command, never a KeyError."""
    server.pages[path] = page
    with pytest.raises(BmcError) as caught:
        bmc(server).power()
    assert caught.value.hint


def test_odd_parts_are_left_out(server: Hostile) -> None:
    """A NIC, a drive or a manager that cannot be read costs itself, and not the identity or the patience."""
    server.pages[SYSTEM] |= {
        "EthernetInterfaces": {"@odata.id": f"{SYSTEM}/NICs"},
        "Storage": {"@odata.id": f"{SYSTEM}/Storage"},
        "MemorySummary": {"TotalSystemMemoryGiB": "256"},
        "ProcessorSummary": None,
        "Links": {"ManagedBy": [{"@odata.id": f"{ROOT}/Managers/1"}, None]},
        "LogServices": {},
    }
    server.pages[f"{SYSTEM}/NICs"] = {"Members": [{"@odata.id": f"{SYSTEM}/NICs/{n}"} for n in range(1, 8)]}
    server.pages[f"{SYSTEM}/NICs/1"] = {"MACAddress": "52-54-00-77-00-01"}
    for n, odd in enumerate(
        [(503, {}, b""), (400, {}, b""), (405, {}, b"{}"), (200, {}, b"<html>"), [], None], start=2
    ):
        server.pages[f"{SYSTEM}/NICs/{n}"] = odd
    server.pages[f"{SYSTEM}/Storage"] = {"Members": [{"@odata.id": f"{SYSTEM}/Storage/1"}]}
    drives = [{"@odata.id": f"{SYSTEM}/Drives/{n}"} for n in (1, 2)]
    server.pages[f"{SYSTEM}/Storage/1"] = {"Drives": drives}
    server.pages[f"{SYSTEM}/Drives/1"] = {"Name": "d", "CapacityBytes": "x", "Identifiers": [None]}
    server.pages[f"{SYSTEM}/Drives/2"] = (500, {}, b"oops")
    events: list[Event] = []
    machine = bmc(server, notify=events.append)
    assert machine.identity().macs == ("52:54:00:77:00:01",)
    told = [event.text.split()[5] for event in events if event.kind == "bmc.unread"]
    assert told == [f"{SYSTEM}/NICs/{n}:" for n in range(2, 7)]  # not the last, which is not there at all
    inventory = machine.inventory()
    assert (inventory.memory, [d.name for d in inventory.disks]) == (256 * 2**30, ["d"])
    assert machine.event_log() == []


def test_a_byte_order_mark_is_no_trouble(server: Hostile) -> None:
    """Some BMCs begin their documents with one."""
    server.pages[SYSTEM] = (200, {}, b"\xef\xbb\xbf" + json.dumps(server.pages[SYSTEM]).encode())
    assert bmc(server).power() == "off"


def test_a_pinned_certificate_is_believed_and_no_other(server: Hostile, other: Hostile) -> None:
    """With a fingerprint no authority counts: the right one is let in, another one hears nothing of us."""
    assert bmc(server, trust=Trust(fingerprint=server.fingerprint)).power() == "off"
    server.asked.clear()
    with pytest.raises(BmcError, match="not the one that the file pins") as caught:
        bmc(server, trust=Trust(fingerprint=other.fingerprint)).power()
    assert server.fingerprint in caught.value.why
    assert server.asked == []


@pytest.mark.parametrize(
    ("reason", "what", "hint"),
    [
        ("Base.1.8.PasswordChangeRequired", "before its password is changed", "change the password"),
        ("Base.1.8.InsufficientPrivilege", "does not allow this to its user", "role Administrator"),
        ("Base.1.8.LicenseKeyRequired", "no licence for this", "install the licence"),
        ("SMC.1.0.OemLicenseNotPassed", "no licence for this", "install the licence"),
        ("Base.1.8.AccessDenied", "does not allow this to its user", "more rights"),
    ],
)
def test_a_forbidden_thing_says_what_it_is(server: Hostile, reason: str, what: str, hint: str) -> None:
    """403 is told with its reason and with what to do about it, at once, and costs no password."""
    body = {"error": {"@Message.ExtendedInfo": [{"MessageId": reason, "Message": "m"}]}}
    server.pages[SYSTEM] = (403, {}, json.dumps(body).encode())
    events: list[Event] = []
    with pytest.raises(BmcError, match=what) as caught:
        bmc(server, notify=events.append).power()
    assert hint in caught.value.hint
    assert not caught.value.retryable
    assert not [event for event in events if event.kind == "bmc.retry"]


def test_a_password_that_must_be_changed_is_not_wrong(server: Hostile) -> None:
    """Refused at the login itself: what the BMC wants is said, not that the password is wrong."""
    body = {"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.PasswordChangeRequired", "Message": "m"}]}}
    server.pages[f"POST {SESSIONS}"] = (403, {}, json.dumps(body).encode())
    with pytest.raises(BmcRefuses, match="before its password is changed"):
        bmc(server).power()


def test_a_crowded_bmc_without_basic_is_waited_for(server: Hostile) -> None:
    """All sessions are taken and Basic is off: a state that passes. Basic is tried once, the password is not wrong."""
    body = {"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.SessionLimitExceeded"}]}}
    server.pages[f"POST {SESSIONS}"] = (503, {}, json.dumps(body).encode())
    systems, server.pages[f"{ROOT}/Systems"] = server.pages[f"{ROOT}/Systems"], (401, {}, b"")
    logins = Logins()
    with pytest.raises(BmcError, match="did not report its power state") as caught:
        bmc(server, logins=logins).power()
    assert "sessions are taken" in caught.value.why
    assert sum(a.proof.startswith("Basic") for a in server.asked) == 1
    server.pages[f"{ROOT}/Systems"] = systems
    server.pages[f"POST {SESSIONS}"] = (201, {"X-Auth-Token": "token-2", "Location": f"{SESSIONS}/2"}, b"{}")
    assert bmc(server, logins=logins).power() == "off"


def _plain(listener: socket.socket) -> None:
    """A web server that speaks no TLS."""
    with suppress(OSError):
        while True:
            line, _ = listener.accept()
            line.recv(4096)
            line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            line.close()


def _old(listener: socket.socket, certificate: Path) -> None:
    """One that speaks TLS 1.1 at most, as BMCs of 2012 do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(certificate)
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError), line:
            context.wrap_socket(line, server_side=True)


@pytest.mark.parametrize(("kind", "says"), [("plain", "does not speak TLS on this port"), ("old", "before 1.2")])
def test_a_failure_of_tls_says_which(server: Hostile, kind: str, says: str) -> None:
    """At once, not as "no answer" after the whole patience."""
    events: list[Event] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve = partial(_plain, listener) if kind == "plain" else partial(_old, listener, server.certificate)
        threading.Thread(target=serve, daemon=True).start()
        trust = Trust(authorities=server.certificate)
        port = listener.getsockname()[1]
        machine = open_bmc(
            "redfish",
            Access("127.0.0.1", port, Credentials(USER, Secret(PASSWORD)), trust, timing=FAST, notify=events.append),
        )
        with pytest.raises(BmcError, match=says) as caught:
            machine.power()
        listener.shutdown(socket.SHUT_RDWR)
    assert caught.value.hint
    assert not events


@pytest.mark.parametrize("password", ["€uro", "pässwörd", "пароль", "a:b", "日本"])
@pytest.mark.parametrize("sessions", [True, False])
def test_a_password_of_any_script_is_sent_as_it_is(server: Hostile, password: str, sessions: bool) -> None:
    """In UTF-8, by a session and with Basic."""
    if not sessions:
        del server.pages[ROOT]["Links"]
    trust = Trust(authorities=server.certificate)
    assert (
        open_bmc(
            "redfish", Access("127.0.0.1", server.port, Credentials(USER, Secret(password)), trust, timing=FAST)
        ).power()
        == "off"
    )
    asked = server.secrets()[0]
    sent = json.loads(asked.body)["Password"] if sessions else base64.b64decode(asked.proof[6:]).decode()
    assert sent == (password if sessions else f"{USER}:{password}")


def _several(server: Hostile) -> None:
    """A GPU baseboard that cannot be switched, and two nodes that can."""
    one = server.pages[SYSTEM]
    nodes = {"Node1": {**one, "Id": "Node1"}, "Node2": {**one, "Id": "Node2", "SerialNumber": "S2", "PowerState": "On"}}
    board = {k: v for k, v in one.items() if k != "Actions"} | {"Id": "HGX_Baseboard_0", "SerialNumber": "S2"}
    for name, page in {**nodes, "HGX_Baseboard_0": board}.items():
        server.pages[f"{ROOT}/Systems/{name}"] = page
    links = [{"@odata.id": f"{ROOT}/Systems/{name}"} for name in ("HGX_Baseboard_0", "Node1", "Node2")]
    server.pages[f"{ROOT}/Systems"]["Members"] = links


@pytest.mark.parametrize(
    "machine", [Machine(serial="s2"), Machine(serial="other", system="Node2"), Machine("S2", system="Node2")]
)
def test_the_machine_is_found_among_several(server: Hostile, machine: Machine) -> None:
    """Behind one BMC with several systems, the host is the one with its serial, or the one that the file names."""
    _several(server)
    assert bmc(server, machine=machine).power() == "on"


@pytest.mark.parametrize("machine", [Machine(serial="S9"), Machine(), Machine(serial="S2", system="Node9")])
def test_no_machine_is_guessed_among_several(server: Hostile, machine: Machine) -> None:
    """Where nothing tells which one is meant, nothing is switched, and the error names those there are."""
    _several(server)
    with pytest.raises(BmcError, match="HGX_Baseboard_0, Node1, Node2"):
        bmc(server, machine=machine).set_power("on")
    assert not [a for a in server.asked if a.path.endswith("/Reset")]


def _changes(server: Hostile, *states: str) -> None:
    """The power state at each look; the last stays. What is asked of it is taken and done."""
    left = list(states)

    def system(handler: Any) -> None:
        state = left.pop(0) if len(left) > 1 else left[0]
        body = json.dumps({**page, "PowerState": state}).encode()
        handler.wfile.write(_head(len(body)) + body)

    page = server.pages[SYSTEM]
    server.pages[SYSTEM] = system
    server.pages[f"POST {SYSTEM}/Reset"] = (204, {}, b"")


@pytest.mark.parametrize(
    ("states", "action", "sent"),
    [
        (("PoweringOn", "PoweringOn", "On", "Off"), "off", 1),  # neither on nor off: waited for, then switched off
        (("PoweringOff", "PoweringOff", "Off", "On"), "on", 1),
        (("PoweringOn", "On"), "on", 0),  # on its way already
        (("PoweringOff", "Off"), "off", 1),  # a shutdown that may hang is cut short
    ],
)
def test_a_machine_between_on_and_off_is_waited_for(
    server: Hostile, states: tuple[str, ...], action: Any, sent: int
) -> None:
    """A transition is a state of its own: no order is skipped because of it, or done before its end was read."""
    _changes(server, *states)
    bmc(server, timing=replace(FAST, patience=5)).set_power(action)
    assert sum(a.path.endswith("/Reset") for a in server.asked) == sent


@pytest.mark.parametrize(
    ("allowed", "states", "sent", "forced"),
    [
        (["On", "ForceOff", "GracefulShutdown"], ("On", "PoweringOff", "PoweringOff", "Off"), ["GracefulShutdown"], 0),
        (["On", "ForceOff", "PushPowerButton"], ("On", "Off"), ["PushPowerButton"], 0),
        (
            ["On", "ForceOff", "GracefulShutdown"],
            ("PoweringOff", "PoweringOff", "Off"),
            [],
            0,
        ),  # somebody asked already
        (["On", "ForceOff", "GracefulShutdown"], ("Off",), [], 0),
        (["On", "ForceOff"], ("On", "On", "Off"), ["ForceOff"], 1),  # it has no such order
    ],
)
def test_a_shutdown_is_waited_through(
    server: Hostile, allowed: list[str], states: tuple[str, ...], sent: list[str], forced: int
) -> None:
    """In the words that the BMC has for it, while it says that it is on its way, and by force where it has none."""
    server.pages[SYSTEM]["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = allowed
    _changes(server, *states)
    events: list[Event] = []
    bmc(server, timing=replace(FAST, shutdown=5), notify=events.append).set_power("shutdown")
    assert [json.loads(a.body)["ResetType"] for a in server.asked if a.path.endswith("/Reset")] == sent
    assert sum(event.kind == "bmc.forced" for event in events) == forced
