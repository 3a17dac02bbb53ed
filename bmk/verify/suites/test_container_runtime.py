"""containerd: whose sockets, which configuration, who hears it."""

from __future__ import annotations

import tomllib
from typing import Any

from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    roots,
    test_downloads,
    test_files,
    test_groups,
    test_units,
    tight,
)

SOCKET = "/run/containerd/containerd.sock"
GROUP = "bmk-cri"
_NRI, _CRI = "io.containerd.nri.v1.nri", "io.containerd.cri.v1.runtime"
# as `containerd config dump` must have it: plug-in, keys, value
SETTINGS: tuple[tuple[tuple[str, ...], Any], ...] = (
    ((_CRI, "enable_criu"), False),
    ((_CRI, "disable_apparmor"), False),
    ((_CRI, "ignore_image_defined_volumes"), True),
    ((_CRI, "enable_unprivileged_ports"), True),
    ((_CRI, "containerd", "runtimes", "runc", "base_runtime_spec"), "/etc/containerd/base-spec.json"),
    ((_NRI, "disable_connections"), True),
    ((_NRI, "default_validator", "reject_oci_hook_adjustment"), True),
    (("io.containerd.grpc.v1.cri", "disable_tcp_service"), True),
    (("io.containerd.cri.v1.images", "registry", "config_path"), "/etc/containerd/certs.d"),
    (("io.containerd.image-verifier.v1.bindir", "bin_dir"), "/etc/containerd/image-verifier"),
    (("io.containerd.server.v1.debug", "address"), ""),
)


def test_sockets_are_for_their_group_only(host: Any) -> None:
    """Root and a group without members; whoever can write to one of them is root on the node."""
    tight(host, dict.fromkeys((SOCKET, SOCKET + ".ttrpc"), ("root", GROUP, 0o660)))


def test_strangers_are_refused(host: Any) -> None:
    """An ordinary user gets nothing from the socket."""
    nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    said = host.run(f"{nobody} ctr --connect-timeout 2s --address {SOCKET} version 2>&1").stdout
    assert "permission denied" in said, said


def test_the_configuration_is_the_hardened_one(host: Any) -> None:
    """As containerd says it itself, with everything that is merged into it."""
    dump = tomllib.loads(host.check_output("containerd config dump"))
    wrong = []
    for keys, wanted in SETTINGS:
        value: Any = dump["plugins"]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value != wanted:
            wrong.append(f"{'.'.join(keys)} = {value}, not {wanted}")
    nothing(wrong)


def test_it_runs_what_is_installed(host: Any) -> None:
    """The daemon that answers has the version of the program on disk; plug-ins of the CRI are ready."""
    said = host.check_output(f"containerd --version; ctr --address {SOCKET} version; ctr --address {SOCKET} plugins ls")
    installed = said.split()[2]
    running = said.partition("Server:")[2].partition("Version:")[2].split()
    assert running[:1] == [installed], f"{running[:1]} answers, {installed} is installed"
    plugins = [line.split() for line in said.splitlines() if line.startswith("io.containerd.cri.v1")]
    assert plugins, "no plug-in of the CRI"
    nothing([f"{p[0]} {p[1]}: {p[-1]}" for p in plugins if p[-1] != "ok"])


def test_it_listens_for_nobody_else(host: Any) -> None:
    """Only loopback: its streaming port is for the kubelet."""
    lines = host.check_output("ss -Hltnp").splitlines()
    mine = [line.split()[3] for line in lines if '"containerd' in line]
    nothing([f"containerd listens on {address}" for address in mine if not address.startswith("127.0.0.1:")])


def test_images_come_from_the_mirror_only(host: Any) -> None:
    """No registry has a way of its own past the data center's mirror, and the default leads there."""
    said = host.check_output("grep -rhE '^(server|.host)' /etc/containerd/certs.d; ls /etc/containerd/certs.d")
    hosts = {line.split('"')[1] for line in said.splitlines() if '"' in line}
    names = {line for line in said.splitlines() if '"' not in line}
    assert len(hosts) == 1, f"more than one place: {', '.join(sorted(hosts))}"
    scheme, _, mirror = hosts.pop().partition("://")
    assert scheme == "https", f"anybody may answer for the mirror: {scheme}"
    assert names == {"_default", mirror}, f"registries with settings: {', '.join(sorted(names))}"


def test_its_files_are_tight(host: Any) -> None:
    """Configuration decides what runs as root; layers hold files of every user."""
    config = ("/etc/containerd/config.toml", "/etc/containerd/base-spec.json")
    private = roots(0o700, "/etc/containerd/image-verifier", "/var/lib/containerd")
    rest = roots(0o750, "/etc/containerd") | roots(0o711, "/run/containerd")
    unit = roots(0o644, "/etc/systemd/system/containerd.service")
    tight(host, {**roots(0o640, *config), **private, **rest, **unit})
