"""The lab itself: makes the network, starts the services, owns the machines, answers the control socket.

How others use a running lab:

* `bmk.lab.client.request(dc, op, **arguments)`: `list`, `power`, `boot`, `fault`, `status`, `up`, `down` (see
  `operations.py`).
* `bmk.lab.host.netns.ensure_inside(dc)`: run the present command inside the lab's network.
* `bmk.lab.host.netns.inside_command(dc_name, [...])`: wrap a command for the same.

Run as `python -m bmk.lab.supervisor --dc DC` by `bmk.lab.host.init`, never by hand: its namespaces are its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial

from bmk.boot.dnsmasq import base_url
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host
from bmk.datacenter.state import open_journal
from bmk.errors import BmkError
from bmk.journal import Event, Journal
from bmk.journal.installation import begin
from bmk.lab import servers
from bmk.lab.control import ControlSocket
from bmk.lab.faults import BrokenImages, Faults
from bmk.lab.host import network
from bmk.lab.host.launcher import ERROR, cgroup_name, lab_dir
from bmk.lab.machines.hardware import bought, hardware_of
from bmk.lab.machines.machine import Chassis
from bmk.lab.machines.machine_backends import MachineContext, backend_of
from bmk.lab.machines.ssh_listener import SshListener
from bmk.lab.operations import Operations
from bmk.lab.services import Daemons
from bmk.lab.vagrant import libvirt


class Supervisor:
    """Everything that one lab owns. `stage`: how far its start is, for callers that wait."""

    def __init__(self, reference: str, dc: DataCenter, journal: Journal) -> None:
        self.reference, self.dc, self.journal = reference, dc, journal
        self.directory = lab_dir(dc.name)
        self.facts = json.loads((self.directory / "facts.json").read_text())
        self.shared = MachineContext(self.facts["kvm"], cgroup_name(dc.name), base_url(dc))
        self.machines: dict[str, Chassis] = {}
        self.by_bmc: dict[str, Chassis] = {}
        self.simulated: dict[str, Chassis] = {}  # by address
        self.services = Daemons(self.directory / "services", partial(self.say, None))
        self.faults = Faults(self.machines, BrokenImages(self.directory / "broken"), servers.images)
        self.stage = "starting"
        self.ended = asyncio.Event()

    def say(self, host: str | None, kind: str, text: str) -> None:
        """Journal an event of the lab."""
        self.journal.append(Event("lab", kind, text, host))

    async def start(self) -> None:
        if libvirt.has_vagrant(self.dc):
            await self.open_libvirt()
        else:
            await network.apply(network.plan(self.dc))
        await self.add_machines()
        self.open_ssh_listener()
        wanted = servers.services_of(self.dc, {n: m.hardware for n, m in self.machines.items()})
        for service in wanted:
            self.services.start(service)
        await self.services.ready(wanted, self._waiting_for)
        self.stage = "ready"

    async def open_libvirt(self) -> None:
        """The bridge is libvirtd's, which has to give it the deployer's address before anything can listen there."""
        await network.apply(["link set lo up"])
        libvirt.install_files(self.dc, self.directory / "libvirt")
        wanted = list(libvirt.services())
        for service in wanted:
            self.services.start(service)
        await self.services.ready(wanted, self._waiting_for)
        await network.until_ours(self.dc.spec.deployer.address, partial(self.services.require, "libvirtd"))

    def open_ssh_listener(self) -> None:
        """ssh to simulated machines, when there are any and sshd can be root here."""
        if self.simulated and self.facts["root"]:
            listener = SshListener(self.simulated, self.directory)
            listener.prepare()
            self._ssh_listener = asyncio.create_task(listener.serve())

    def _waiting_for(self, name: str) -> None:
        self.stage = f"waiting for {name}"

    async def add_machines(self) -> list[str]:
        """Build machines for hosts that have none yet; returns their names."""
        fresh = {n: h for n, h in hardware_of(self.dc).items() if n not in self.machines}
        for name, planned in fresh.items():
            directory = self.directory / "machines" / name
            chassis = Chassis(bought(planned, directory), directory, partial(self.say, name))
            chassis.backend = backend_of(chassis, self.shared)
            self.machines[name] = self.by_bmc[chassis.hardware.bmc.address] = chassis
            if chassis.hardware.kind == "simulated":
                self.simulated[chassis.hardware.address] = chassis
        # All at once: a process for each would cost more than the machine does.
        await network.apply(network.own(m.hardware.address for m in self.simulated.values()))
        return list(fresh)

    async def reload(self) -> list[str]:
        """Read the data center file again and build what was added; the BMC emulators learn of it by a restart."""
        self.dc = load_datacenter(self.reference)
        added = await self.add_machines()
        if added:
            await self.services.restart(("redfish", "ipmi"))
        return added

    def pin(self, host: Host, keys: list[str]) -> None:
        """Remember the host keys of a machine that was made here."""
        begin(self.journal, host.name, {"host_keys": keys})
        known = self.dc.state / "known_hosts"
        names = f"{host.name},{host.address}"
        others = [
            line
            for line in (known.read_text().splitlines() if known.exists() else [])
            if not line.startswith(names + " ")
        ]
        known.write_text("\n".join([*others, *(f"{names} {key}" for key in keys)]) + "\n")

    async def stop(self) -> None:
        self.stage = "stopping"
        await asyncio.gather(*(m.power("off") for m in self.machines.values()))
        await self.services.stop()


async def run(reference: str) -> None:
    dc = load_datacenter(reference)
    supervisor = Supervisor(reference, dc, open_journal(dc))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.ended.set)
    operations = Operations(supervisor)
    server = await ControlSocket(supervisor.directory / "control.sock", operations.table()).serve()
    try:
        await _run_until_ended(supervisor)
    finally:
        await supervisor.stop()
        server.close()
        supervisor.say(None, "lab.down", f"lab {dc.name} is down")


async def _run_until_ended(supervisor: Supervisor) -> None:
    """Start and run until `ended` is set, which also stops a start that is under way."""
    coming, told = asyncio.create_task(supervisor.start()), asyncio.create_task(supervisor.ended.wait())
    await asyncio.wait((coming, told), return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        coming.result()
        supervisor.say(None, "lab.up", f"lab {supervisor.dc.name} is up with {len(supervisor.machines)} machines")
    await told
    coming.cancel()


def _own_mounts() -> None:
    """Mount /proc of our own PID namespace; mounts are private from here on."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bmk.lab.supervisor")
    parser.add_argument("--dc", required=True)
    reference = parser.parse_args().dc
    if os.getppid() != 1:
        sys.exit("bmk.lab.supervisor runs below bmk.lab.host.init; start a lab with `bmk lab up`")
    _own_mounts()
    try:
        asyncio.run(run(reference))
    except BmkError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - lab.log
        (lab_dir(load_datacenter(reference).name) / ERROR).write_text(json.dumps(error.as_data()))
        sys.exit(int(error.exit_code))


if __name__ == "__main__":
    main()
