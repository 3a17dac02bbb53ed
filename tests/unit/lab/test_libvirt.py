"""A libvirtd of the lab's own, and the way to the machines in it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bmk.artifacts.box import KEY_MARK
from bmk.datacenter.load import load_datacenter
from bmk.lab.vagrant.inventory import only
from bmk.lab.vagrant.libvirt import PLACES, files, services
from bmk.lab.vagrant.machines import _said, ssh_config
from bmk.paths import content_dir

DC = load_datacenter(str(content_dir() / "molecule/dc.yml"))


def test_hosts_have_the_addresses_of_the_file() -> None:
    """libvirt's DHCP gives each MAC the address that dc.yml says, and never one of its pool."""
    network = ElementTree.fromstring(files(DC, Path("/disks"))["etc/qemu/networks/bmk.xml"])
    given = {host.get("mac"): host.get("ip") for host in network.iter("host")}
    assert given == {host.nics[0].mac: str(host.address) for host in DC.hosts.values()}


def test_its_daemons_lock_no_file_of_the_host() -> None:
    """Each pid file lies in a directory that is the lab's in its mount namespace; others hold those in /run itself."""
    for service in services():
        path = Path(service.command[service.command.index("--pid-file") + 1])
        assert str(path.parent) in PLACES, path


def test_only_pinned_keys_are_believed() -> None:
    """ssh to the machines checks host keys strictly, against the data center's own file, inside the lab."""
    text = ssh_config(DC, ["worker-1"], 4711)
    assert "StrictHostKeyChecking yes" in text
    assert "GlobalKnownHostsFile /dev/null" in text
    assert "nsenter --target 4711 --net" in text


def test_a_host_key_is_read_from_the_console(tmp_path: Path) -> None:
    """What surrounds the line on a console does not matter, and a line that is cut short is not believed yet."""
    console = tmp_path / "console"
    console.write_text(f"[ 9.1] x {KEY_MARK} ssh-ed25519 AAAAC3 root@box\r\n[ OK ] Started\n{KEY_MARK} ssh-ed25519 AAA")
    assert _said(console) == ["ssh-ed25519 AAAAC3"]


def test_a_scenario_sees_its_own_machines_only() -> None:
    """Other hosts are in no group, so no play reaches for a machine that nobody made; what is known of them stays."""
    found = {
        "worker": {"hosts": ["worker-1", "worker-2"], "vars": {"a": 1}},
        "all": {"vars": {"b": 2}},
        "_meta": {"hostvars": {"worker-2": {}}},
    }
    seen = only(found, {"worker-1"})
    assert seen["worker"] == {"hosts": ["worker-1"], "vars": {"a": 1}}
    assert seen["all"]["vars"] == {"b": 2}
    assert seen["_meta"] == found["_meta"]
