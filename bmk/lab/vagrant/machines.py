"""Machines of a lab that Vagrant makes, of the box of the node image; snapshots, pinned host keys, and how to log in.

`python -m bmk.lab.vagrant up|restore|snapshot|down DC [HOST...]`, as molecule's playbooks call it; `netboot DC MAC`
starts a machine without a disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bmk import programs
from bmk.artifacts.box import KEY_MARK, NAME, Box, make_box
from bmk.artifacts.mirror import load_mirror
from bmk.datacenter.credentials import ssh_settings
from bmk.datacenter.hosts import programs_of
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import BmkError, PreflightRefused
from bmk.lab.host.launcher import lab_dir, supervisor_pid
from bmk.lab.host.netns import inside_command
from bmk.lab.lifecycle import bring_up, take_down
from bmk.lab.machines.crashes import started_again
from bmk.lab.machines.hardware import parse_size
from bmk.lab.vagrant.libvirt import NETWORK, has_vagrant
from bmk.paths import cache_dir, content_dir, private_dir

SNAPSHOT = "prepared"
SPACE = 6 << 30  # bytes, where boxes are and where machines write: a box is 12 GiB that are mostly empty
VIRSH = ("virsh", "--quiet", "--connect", "qemu:///system")
_DISKLESS = f"""\
<domain type="{{kind}}"><name>{{name}}</name><memory unit="MiB">512</memory>
<os><type arch="x86_64">hvm</type><boot dev="network"/></os><features><acpi/></features>
<devices>
<interface type="network"><mac address="{{mac}}"/><source network="{NETWORK}"/><model type="virtio"/></interface>
</devices></domain>
"""


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def require(dc: DataCenter) -> None:
    """Refuse what cannot work here, before anything is made."""
    if not has_vagrant(dc):
        hint = "lab: {kind: vagrant} in a profile"
        raise PreflightRefused("no profile has machines of kind vagrant", where=str(dc.source), hint=hint)
    programs.require(programs_of(dc))
    plugins = subprocess.run(["vagrant", "plugin", "list"], capture_output=True, text=True, check=False).stdout
    if "vagrant-libvirt" not in plugins:
        raise PreflightRefused(
            "Vagrant has no libvirt provider", hint="scripts/setup, or as root: apt-get install vagrant-libvirt"
        )
    for directory in (cache_dir(), dc.state):
        _require_room(directory)


def _require_room(directory: Path) -> None:
    there = next(place for place in (directory, *directory.parents) if place.exists())
    if (free := shutil.disk_usage(there).free) < SPACE:
        why = f"{free >> 30} GiB are free, {SPACE >> 30} GiB are needed"
        hint = f"make room, or set {'BMK_CACHE_DIR' if directory == cache_dir() else 'BMK_STATE_DIR'} to where there is"
        raise PreflightRefused("there is no room for virtual machines", where=str(directory), why=why, hint=hint)


def up(reference: str, names: Sequence[str]) -> None:
    """Bring up the lab and these machines; what came up halfway is destroyed again."""
    dc = load_datacenter(reference)
    require(dc)
    box = make_box(load_mirror(), say).check()
    _use_key_of_box(dc, box)
    try:
        bring_up(dc, reference, say)
        _add_box(dc, box)
        with started_again(reached(dc, VIRSH), lab_dir(dc.name) / "libvirt" / "log" / "qemu", say):
            _vagrant(dc, box, names, "up", "--no-tty", "--no-provision", *names)
        for name in names:
            _pin(dc, dc.hosts[name])
        _ssh_config(dc, names)
    except BaseException:
        say("the machines did not come up: nothing of them is left")
        take_down(dc, say, delete=True)
        raise


def snapshot(reference: str, names: Sequence[str]) -> None:
    """Save the machines, including memory."""
    dc = load_datacenter(reference)
    for name in names:
        _virsh(dc, "snapshot-create-as", _domain(name), SNAPSHOT)


def restore(reference: str, names: Sequence[str]) -> None:
    """The machines as they were when the snapshot was made, in seconds."""
    dc = load_datacenter(reference)
    for name in names:
        _virsh(dc, "snapshot-revert", _domain(name), SNAPSHOT, "--force")


def netboot(reference: str, macs: Sequence[str]) -> None:
    """Start a machine that has nothing but a network card with this MAC, and boots from it; it ends with the lab."""
    dc = load_datacenter(reference)
    kvm = json.loads((lab_dir(dc.name) / "facts.json").read_text())["kvm"]
    for mac in macs:
        description = lab_dir(dc.name) / f"netboot-{mac.replace(':', '')}.xml"
        description.write_text(_DISKLESS.format(kind="kvm" if kvm else "qemu", name=description.stem, mac=mac))
        with suppress(BmkError):  # a domain of an earlier call
            _virsh(dc, "destroy", description.stem)
        _virsh(dc, "create", str(description))


def down(reference: str, names: Sequence[str]) -> None:
    """Destroy the machines and stop their lab."""
    dc = load_datacenter(reference)
    if supervisor_pid(dc.name) is not None and names:
        _vagrant(dc, make_box(load_mirror(), say), names, "destroy", "--force", *names)
    take_down(dc, say, delete=True)


def _domain(name: str) -> str:
    return f"vagrant_{name}"


def _use_key_of_box(dc: DataCenter, box: Box) -> None:
    """Use the key of the box as the deployer's key of this data center."""
    identity = dc.state / "ssh" / "id_ed25519"
    private_dir(identity.parent)
    shutil.copyfile(box.key, identity)
    identity.chmod(0o600)


def _home(dc: DataCenter) -> Path:
    """Vagrant's data directory of this lab: a shared one would be locked by another lab. Boxes are shared."""
    home, boxes = lab_dir(dc.name) / "vagrant-home", _boxes()
    boxes.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    if not (home / "boxes").is_symlink():
        (home / "boxes").symlink_to(boxes)
    return home


def _boxes() -> Path:
    return cache_dir() / "vagrant" / "boxes"


def _add_box(dc: DataCenter, box: Box) -> None:
    """Unpack it, once for all labs."""
    _boxes().mkdir(parents=True, exist_ok=True)
    with (_boxes().parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_boxes() / NAME.replace("/", "-VAGRANTSLASH-") / box.version / "libvirt").exists():
            _vagrant(dc, box, (), "box", "add", "--no-tty", "--provider", "libvirt", str(box.catalog))


def _vagrant(dc: DataCenter, box: Box, names: Sequence[str], *arguments: str) -> None:
    facts = json.loads((lab_dir(dc.name) / "facts.json").read_text())
    environment = {
        **os.environ,
        "VAGRANT_HOME": str(_home(dc)),
        "VAGRANT_CWD": str(content_dir()),
        "VAGRANT_DOTFILE_PATH": str(lab_dir(dc.name) / "vagrant"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "BMK_VAGRANT_BOX": str(box.catalog),
        "BMK_VAGRANT_DRIVER": "kvm" if facts["kvm"] else "qemu",
        "BMK_VAGRANT_MACHINES": json.dumps([_machine(dc, dc.hosts[name]) for name in names]),
        "LIBVIRT_DEFAULT_URI": "qemu:///system",
    }
    _inside(dc, ["vagrant", *arguments], environment)


def _machine(dc: DataCenter, host: Host) -> dict[str, Any]:
    lab = host.profile.lab
    if lab is None:
        raise BmkError("no machine of the lab", where=host.name)
    return {
        "name": host.name,
        "cpus": lab.cpus,
        "memory": parse_size(lab.memory) >> 20,
        "mac": host.nics[0].mac,
        "network": NETWORK,
        "subnet": str(host.network.cidr),
        "console": str(_console(dc, host.name)),
    }


def _console(dc: DataCenter, name: str) -> Path:
    return lab_dir(dc.name) / "libvirt" / "log" / f"{name}.console"


def _virsh(dc: DataCenter, *arguments: str) -> None:
    _inside(dc, [*VIRSH, *arguments], dict(os.environ))


def reached(dc: DataCenter, command: Sequence[str]) -> list[str]:
    """libvirtd's socket is in the lab's mount namespace, its machines in the network namespace."""
    wrapped = inside_command(dc.name, list(command))
    wrapped.insert(wrapped.index("--net"), "--mount")
    return wrapped


def _inside(dc: DataCenter, command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(reached(dc, command), env=environment, stdout=2, check=False)
    if done.returncode != 0:
        hint = "read what it said above; the daemons' words: " + str(lab_dir(dc.name) / "services")
        raise BmkError(f"{' '.join(command[:2])} failed", where=dc.name, why=f"exit {done.returncode}", hint=hint)


def _pin(dc: DataCenter, host: Host, patience: float = 60.0) -> None:
    """Pin the host key that the machine printed on its console, which no other machine can write to."""
    end = time.monotonic() + patience
    while not (keys := _said(_console(dc, host.name))):
        if time.monotonic() > end:
            raise BmkError("the machine said no ssh host key", where=str(_console(dc, host.name)))
        time.sleep(0.2)
    known = dc.state / "known_hosts"
    others = [line for line in _lines(known) if not line.startswith(f"{host.name},")]
    known.write_text("\n".join([*others, f"{host.name},{host.address} {keys[-1]}"]) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def _said(console: Path) -> list[str]:
    marked = (line.partition(KEY_MARK) for line in _lines(console))
    return [" ".join(rest.split()[:2]) for _, mark, rest in marked if mark and len(rest.split()) > 2]


def ssh_config(dc: DataCenter, names: Sequence[str], pid: int) -> str:
    """How to reach the machines from outside of the lab's network, for ansible, testinfra and people. Pure."""
    state = dc.state
    relay = "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!"
    lines = [
        *(f"Host {name} {dc.hosts[name].address}\n  HostName {dc.hosts[name].address}" for name in names),
        "Host *",
        "  User root",
        *(f"  {line}" for line in ssh_settings(state / "ssh" / "id_ed25519", state / "known_hosts")),
        "  ServerAliveInterval 15",
        "  ServerAliveCountMax 8",
        f"  ProxyCommand nsenter --target {pid} --net -- bash -c '{relay}'",
    ]
    return "\n".join(lines) + "\n"


def _ssh_config(dc: DataCenter, names: Sequence[str]) -> None:
    pid = supervisor_pid(dc.name)
    if pid is None:
        raise BmkError("the lab went away", where=dc.name)
    (dc.state / "ssh_config").write_text(ssh_config(dc, names, pid))


def main() -> None:
    programs.look_in_sbin()
    action, reference, *names = sys.argv[1:]
    try:
        {"up": up, "snapshot": snapshot, "restore": restore, "netboot": netboot, "down": down}[action](reference, names)
    except BmkError as error:
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        sys.exit(130)
