"""containerd: whose sockets, which configuration, who hears it."""

from __future__ import annotations

import stat
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("member")
SOCKET = "/run/containerd/containerd.sock"


def test_the_socket_is_for_its_group_only(host: Any) -> None:
    """Root and a group without members; whoever can write to it is root on the node."""
    socket = host.file(SOCKET)
    assert socket.is_socket
    assert (socket.user, oct(stat.S_IMODE(socket.mode))) == ("root", "0o660")
    assert socket.group == "bmk-cri"
    assert host.check_output("getent group bmk-cri").split(":")[3] == ""


def test_the_configuration_is_the_hardened_one(host: Any) -> None:
    """As containerd says it itself, with everything that is merged into it."""
    dump = host.check_output("containerd config dump")
    for setting in ("enable_criu = false", "disable_connections = true", "enable_selinux ="):
        assert setting in dump
    assert "privileged_without_host_devices" in dump


def test_it_listens_for_nobody_else(host: Any) -> None:
    """Only loopback: its streaming port is for the kubelet."""
    lines = host.check_output("ss -Hltnp | grep containerd || true").splitlines()
    assert all(line.split()[3].startswith("127.0.0.1:") for line in lines)


def test_pods_can_be_made(host: Any) -> None:
    """The runtime answers: its CRI service and the network plug-in are ready."""
    assert "io.containerd.cri.v1" in host.check_output(f"ctr --address {SOCKET} plugins ls | grep -w ok")
