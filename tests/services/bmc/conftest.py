"""A network namespace of our own, and a stand-in for the lab's supervisor: machines that only have state."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.lab.bmc.ipmi_config import fru_data, mailbox_limit
from bmk.lab.host.sockets import short_path
from bmk.secrets import write_generated
from tests import network

DC = "bmc-test"
USER, PASSWORD = "operator", "right-horse-battery"


def machine(name: str, kind: str, address: str, firmware: str) -> dict[str, Any]:
    """One machine in the words of the control socket."""
    number = int(address.rsplit(".", 1)[1])
    return {
        "name": name,
        "uuid": f"6d2f6b1e-8f2f-4f6a-9c55-0b6d0a7700{number:02x}",
        "serial": f"LAB{number:04d}",
        "kind": "simulated",
        "firmware": firmware,
        "cpus": 2,
        "memory": 3 * 2**30,
        "power": "off",
        "boot": {"target": "disk", "enabled": "disabled"},
        "macs": [f"52:54:00:77:00:{number:02x}"],
        "disks": [{"name": "vda", "serial": f"LABDISK{number:04d}", "size": 12 * 2**30, "wwn": None}],
        "bmc": {
            **{"kind": kind, "address": address, "port": 443 if kind == "redfish" else 623, "secret": "bmc/lab"},
            "kcs": 10_000 + number,
        },
        "faults": {},
    }


class Lab:
    """The control socket's operations on machines that are only state; the contract's words, nothing more."""

    def __init__(self, state: Path, machines: list[dict[str, Any]]) -> None:
        self.state = state
        self.machines = {m["name"]: m for m in machines}
        self.asked: list[str] = []  # operations, in their order: each request at a BMC is at least one
        (state / "lab").mkdir(parents=True, exist_ok=True)
        for name, known in self.machines.items():
            known["console"] = str(state / "lab" / f"{name}.log")
            known["mailbox"] = str(state / "lab" / f"{name}.mailbox")
            known["medium"] = {"path": str(state / "lab" / f"{name}.iso"), "url": ""}

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.machines[name]

    def break_(self, name: str, fault: str, seconds: float | None = None) -> None:
        """Switch a fault on, for some seconds or until `heal`."""
        self[name]["faults"][fault] = True
        if seconds is not None:
            timer = threading.Timer(seconds, self[name]["faults"].pop, [fault, None])
            timer.daemon = True
            timer.start()

    def reset(self) -> None:
        """All machines off and healed; nothing is remembered of the test before."""
        self.asked.clear()
        for known in self.machines.values():
            known["faults"].clear()
            known.update(power="off", boot={"target": "disk", "enabled": "disabled"})
            known.pop("booted", None)
            known["medium"]["url"] = ""
            for left in ("mailbox", "medium"):
                Path(known[left] if left == "mailbox" else known[left]["path"]).unlink(missing_ok=True)
            Path(known["console"]).write_text("")

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        op = question.pop("op")
        self.asked.append(op)
        if op == "list":
            bmc = question.get("bmc")
            return {"ok": True, "machines": [m for m in self.machines.values() if bmc in (None, m["bmc"]["address"])]}
        if op == "status":
            return {"ok": True}
        known = self.machines[question.pop("machine")]
        if op == "boot":
            known["boot"] = question
        elif op == "power":
            self._power(known, question["action"])
        elif op == "medium":
            known["medium"]["url"] = question["url"]
        else:
            return {"ok": False, "error": f"no operation {op}"}
        return {"ok": True}

    def _power(self, known: dict[str, Any], action: str) -> None:
        if action == "press" and "system-hangs" in known["faults"]:
            return
        known["power"] = "off" if action in ("off", "press") else "on"
        with Path(known["console"]).open("a") as console:
            console.write(f"{known['name']}: power {action}\n")
        if action in ("on", "cycle", "reset") and known["boot"]["enabled"] == "once":
            known["booted"] = known["boot"]["target"]
            known["boot"] = {"target": known["boot"]["target"], "enabled": "disabled"}


@pytest.fixture(scope="module")
def own_network() -> Iterator[None]:
    """The deployer at 10.77.0.1, and the BMC network 10.78.0.0/24."""
    with network.own("address add 10.77.0.1/32 dev lo", "route add local 10.78.0.0/24 dev lo src 10.77.0.1"):
        yield


@pytest.fixture(scope="module")
def standin(own_network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running control socket with Redfish and IPMI machines, one of each firmware, and their secrets."""
    directory = tmp_path_factory.mktemp("state")
    standin = Lab(
        directory / DC,
        [
            machine("cp-1", "redfish", "10.78.0.11", "uefi"),
            machine("cp-2", "redfish", "10.78.0.12", "bios"),
            machine("worker-1", "ipmi", "10.78.0.21", "bios"),
            machine("worker-2", "ipmi", "10.78.0.22", "uefi"),
        ],
    )
    write_generated(standin.state, {"bmc/lab": (USER, PASSWORD)})

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(json.dumps(standin.answer(json.loads(self.rfile.readline()))).encode() + b"\n")

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with (
        pytest.MonkeyPatch.context() as patch,
        short_path(standin.state / "lab" / "control.sock") as name,
        Server(name, Handler) as server,
    ):
        patch.setenv("BMK_STATE_DIR", str(directory))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield standin
        server.shutdown()


@pytest.fixture
def lab(standin: Lab) -> Lab:
    """The lab with all machines off, healed, and without overrides."""
    standin.reset()
    return standin


@pytest.fixture(scope="module")
def start(standin: Lab) -> Iterator[Callable[[str], None]]:
    """Start `python -m bmk.lab.bmc.<module>` against the lab; killed by pid at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def run(module: str) -> None:
        log = (standin.state / f"{module}.log").open("wb")
        running.append(
            subprocess.Popen([sys.executable, "-m", f"bmk.lab.bmc.{module}", "--dc", DC], stdout=log, stderr=log)
        )

    yield run
    for process in running:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def redfish_emulator(start: Callable[[str], None]) -> None:
    """The real Redfish emulator, answering."""
    start("redfish")
    until(lambda: _answers("10.78.0.11", 443), "the Redfish emulator answers")


@pytest.fixture
def redfish(lab: Lab, redfish_emulator: None) -> Lab:
    """The lab with its Redfish BMCs."""
    return lab


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll a condition, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def ipmi_simulators(standin: Lab, start: Callable[[str], None]) -> None:
    """A real ipmi_sim for each IPMI machine, listening."""
    start("ipmi")
    where = standin.state / "lab" / "ipmi"
    until(lambda: all(_hears(n) for n in ("10.78.0.21", "10.78.0.22")), f"ipmi_sim listens, see logs below {where}")


@pytest.fixture
def ipmi(lab: Lab, ipmi_simulators: None) -> Lab:
    """The lab with its IPMI BMCs, which know that they are healed: they look at their faults once a second."""
    until(
        lambda: all(_is_healed(lab, name) for name in ("worker-1", "worker-2")), "the simulators have read their faults"
    )
    return lab


def _is_healed(lab: Lab, name: str) -> bool:
    machine = lab[name]
    fru = (lab.state / "lab" / "ipmi" / name / "fru.bin").read_bytes()
    limit = int(Path(machine["mailbox"] + ".stores").read_text())
    return (fru, limit) == (fru_data(machine), mailbox_limit(machine))


def _hears(address: str) -> bool:
    """Whether a UDP socket is bound to port 623 of this address, by /proc/net/udp."""
    local = "".join(f"{int(part):02X}" for part in reversed(address.split("."))) + ":026F"
    return local in Path("/proc/net/udp").read_text()
