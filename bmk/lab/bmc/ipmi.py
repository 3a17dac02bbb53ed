"""The lab's IPMI BMCs: one `ipmi_sim` for each machine, its chassis control and its serial-over-LAN.

`python -m bmk.lab.bmc.ipmi --dc lab` runs until killed; the simulators die with it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmk.errors import BmkError
from bmk.lab.bmc import ipmi_mailbox
from bmk.lab.bmc.ipmi_config import Programs, commands, fru_data, lan_conf, mailbox_limit
from bmk.lab.client import request
from bmk.paths import state_dir
from bmk.secrets import SecretStore

Machine = Mapping[str, Any]
POLL = 0.2  # seconds between looks at a console file
WATCH = 1.0  # seconds between looks at the machines' faults


class ConsoleBridge(socketserver.ThreadingTCPServer):
    """Sends what is appended to a console file to connected clients; ipmi_sim is one and passes it on as
    serial-over-LAN.
    """

    daemon_threads = True

    def __init__(self, console: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Tail)
        self.console = console
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Tail(socketserver.BaseRequestHandler):
    server: ConsoleBridge

    def handle(self) -> None:
        console = self.server.console
        offset = console.stat().st_size if console.exists() else 0
        try:
            while True:
                text = _since(console, offset)
                offset += len(text)
                self.request.sendall(text)
                time.sleep(POLL)
        except OSError:
            return  # ipmi_sim went away


def _since(console: Path, offset: int) -> bytes:
    if not console.exists():
        return b""
    with console.open("rb") as text:
        text.seek(offset)
        return text.read(4096)


class Simulator:
    """One simulated BMC in a directory of its own."""

    def __init__(self, dc: str, machine: Machine, secrets: SecretStore) -> None:
        self._directory: Path = state_dir(dc) / "lab" / "ipmi" / machine["name"]
        shutil.rmtree(
            self._directory, ignore_errors=True
        )  # remembered users would take precedence over the configured ones
        self._directory.mkdir(parents=True, mode=0o700)
        self._bridge = ConsoleBridge(Path(machine["console"]))
        self.update(machine)
        self._write(dc, machine, secrets)
        self.process = self._start()

    def update(self, machine: Machine) -> None:
        """Rewrite the files that ipmi_sim reads at each request."""
        _replace(self._directory / "fru.bin", fru_data(machine))
        _replace(Path(machine["mailbox"] + ".stores"), f"{mailbox_limit(machine)}\n".encode())

    def _write(self, dc: str, machine: Machine, secrets: SecretStore) -> None:
        login = secrets.resolve(machine["bmc"]["secret"])
        script = [sys.executable, "-m", "bmk.lab.bmc.ipmi_chassis", dc, machine["name"]]
        programs = Programs(shlex.join(script), self._bridge.port, ipmi_mailbox.library())
        conf = lan_conf(machine, (login.username, login.password.reveal()), programs)
        _replace(self._directory / "lan.conf", conf.encode())
        _replace(self._directory / "start.emu", commands(str(self._directory / "fru.bin")).encode())

    def _start(self) -> subprocess.Popen[bytes]:
        state = self._directory / "state"
        state.mkdir()
        # setpriv: the simulator ends with this process, even when that is killed
        argv = ["setpriv", "--pdeathsig", "KILL", "ipmi_sim", "-n", "-s", str(state)]
        argv += ["-c", str(self._directory / "lan.conf"), "-f", str(self._directory / "start.emu")]
        with (self._directory / "ipmi_sim.log").open("wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return (self._directory / "ipmi_sim.log").read_text(errors="replace").strip()


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def serve(dc: str, directory: Path) -> None:
    """Run the simulators of a running lab until killed. `directory`: where dc.yml (and perhaps its vault) is."""
    secrets = SecretStore(directory, state_dir(dc))
    simulators = {m["name"]: Simulator(dc, m, secrets) for m in _ipmi_machines(dc)}
    try:
        while True:
            _check(simulators)
            time.sleep(WATCH)
            for machine in _ipmi_machines(dc):
                simulators[machine["name"]].update(machine)
    finally:
        for simulator in simulators.values():
            simulator.process.terminate()


def _ipmi_machines(dc: str) -> list[Machine]:
    return [m for m in request(dc, "list")["machines"] if m["bmc"]["kind"] == "ipmi"]


def _check(simulators: Mapping[str, Simulator]) -> None:
    for name, simulator in simulators.items():
        if simulator.process.poll() is not None:
            raise BmkError(
                f"the IPMI simulator of {name} ended", why=simulator.log, hint="bmk lab down DC, then: bmk lab up DC"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="IPMI BMCs of a running lab")
    parser.add_argument("--dc", required=True, help="the lab's name")
    parser.add_argument("--directory", type=Path, help="of its dc.yml, for secrets kept there; default: none")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve(args.dc, args.directory or state_dir(args.dc) / "lab")
    except BmkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
