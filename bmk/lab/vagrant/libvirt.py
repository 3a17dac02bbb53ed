"""libvirtd in a lab's namespaces, for machines that Vagrant makes: no systemd, no user, nothing on the host.

libvirtd has fixed directories for configuration, sockets and state. In the supervisor's mount namespace these are
directories of the lab, so each lab has its own libvirtd. `files()` is pure: libvirtd starts the network and the storage
pool from files.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from bmk.datacenter.resolve import DataCenter
from bmk.errors import PreflightRefused
from bmk.lab.machines.hardware import bridges
from bmk.lab.services import Daemon

NETWORK = "bmk"  # what the Vagrantfile calls management network
POOL = "default"
SOCKET = Path("/run/libvirt/libvirt-sock")
# Where libvirtd looks -> directory of the lab that is there in its namespace.
PLACES = {
    "/etc/libvirt": "etc",
    "/run/libvirt": "run",
    "/var/lib/libvirt": "state",
    "/var/cache/libvirt": "cache",
    "/var/log/libvirt": "log",
}

# All processes in the namespaces run as (mapped) root, so access control has no effect.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""
_ACCOUNTS = {
    "/etc/passwd": "libvirt-qemu:x:0:0::/:/usr/sbin/nologin\n",
    "/etc/group": "libvirt-qemu:x:0:\n",
}
_LIBVIRTD = 'auth_unix_rw = "none"\nunix_sock_group = "root"\n'


def has_vagrant(dc: DataCenter) -> bool:
    """Whether Vagrant makes the machines of this data center. All or none: one network has one DHCP server."""
    kinds = {h.profile.lab.kind for h in dc.hosts.values() if h.profile.lab is not None}
    if "vagrant" in kinds and len(kinds) > 1:
        raise PreflightRefused("machines of kind vagrant have no neighbours of other kinds", where=str(dc.source))
    return "vagrant" in kinds


def files(dc: DataCenter, disks: Path) -> dict[str, str]:
    """Path below the lab's `libvirt` directory -> text."""
    return {
        "etc/libvirtd.conf": _LIBVIRTD,
        "etc/virtlogd.conf": "",
        "etc/qemu.conf": _QEMU,
        f"etc/qemu/networks/{NETWORK}.xml": _network(dc),
        f"etc/storage/{POOL}.xml": _pool(disks),
    }


def _network(dc: DataCenter) -> str:
    """The deployer's network: it is the bridge's address, and each host gets the address of the file by its MAC.

    Unknown MACs get none, so that a machine can boot from another server.
    """
    name, bridge = next(iter(bridges(dc).items()))
    spec, deployer = dc.spec.networks[name], dc.spec.deployer.address
    hosts = "".join(
        f'<host mac="{host.nics[0].mac}" name="{host.name}" ip="{host.address}"/>' for host in dc.hosts.values()
    )
    address = f'<ip address="{deployer}" netmask="{spec.cidr.netmask}">'
    return (
        f'<network><name>{NETWORK}</name><bridge name="{bridge}" stp="off" delay="0"/><mtu size="{spec.mtu}"/>'
        f"{address}<dhcp>{hosts}</dhcp></ip></network>\n"
    )


def _pool(disks: Path) -> str:
    return f'<pool type="dir"><name>{POOL}</name><target><path>{disks}</path></target></pool>\n'


def install_files(dc: DataCenter, directory: Path) -> None:
    """Write the files and put them where libvirtd looks; in this process's mount namespace only."""
    (directory / "disks").mkdir(parents=True, exist_ok=True)
    for name, text in files(dc, directory / "disks").items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".xml":
            _start_by_itself(path)
    for place, name in PLACES.items():
        (directory / name).mkdir(exist_ok=True)
        _make_place(Path(place), directory / "places")
        _mount("--bind", directory / name, place)
    for place, line in _ACCOUNTS.items():
        _add_account(Path(place), line, directory / Path(place).name)


def _add_account(place: Path, line: str, copy: Path) -> None:
    """libvirtd does not start without the user that Debian's package makes, even when another runs QEMU."""
    text = place.read_text()
    if "libvirt-qemu:" not in text:
        copy.write_text(text + line)
        _mount("--bind", copy, place)


def _start_by_itself(definition: Path) -> None:
    link = definition.parent / "autostart" / definition.name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"../{definition.name}")


def _make_place(place: Path, layers: Path) -> None:
    """A host without libvirt has no such directory: it is made in an overlay over its parent."""
    if place.is_dir():
        return
    upper, work = (layers / place.parent.name / name for name in ("upper", "work"))
    for directory in (upper, work):
        directory.mkdir(parents=True, exist_ok=True)
    _mount("-t", "overlay", "-o", f"lowerdir={place.parent},upperdir={upper},workdir={work}", "overlay", place.parent)
    place.mkdir(exist_ok=True)


def _mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightRefused(
            "libvirtd gets no directories of its own",
            why=done.stderr.strip(),
            hint="as root: mkdir -p " + " ".join(PLACES),
        )


def services() -> Iterator[Daemon]:
    """virtlogd keeps consoles; libvirtd starts network and pool by itself, and then we listen on its bridge."""
    # Their usual pid files are in /run itself, where a libvirtd of the host or of another lab has them locked.
    for daemon in ("virtlogd", "libvirtd"):
        yield Daemon(daemon, (daemon, "--pid-file", f"{SOCKET.parent}/{daemon}.pid"))
