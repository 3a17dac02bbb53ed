"""The real keepalived with the role's configuration, and somebody on its network who wants to carry the VIP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.roles import render
from tests.services.network.conftest import Wire, until

pytestmark = pytest.mark.services
MEMBERS = {"cp-1": "10.20.0.11", "cp-2": "10.20.0.12"}
VIP, ROUTER, KEY, ROGUE = "10.20.0.10", "10", "s3cr3t_K", "10.20.0.99"


def variables(name: str) -> dict[str, Any]:
    return {
        "inventory_hostname": name,
        "bmk_host": {"name": name, "address": MEMBERS[name]},
        "bmk_cluster": {"vip": VIP, "control_plane": [{"name": n, "address": a} for n, a in MEMBERS.items()]},
        "bmk_probe": {"facts": {"interfaces": {MEMBERS[name]: "eth0"}}},
    }


def run(wire: Wire, name: str) -> subprocess.Popen[bytes]:
    """keepalived as the role leaves it; its check of the API is left out, there is none."""
    directory = wire.directory / name
    directory.mkdir(exist_ok=True)
    (directory / "key").write_text(KEY)
    for file in ("keepalived.conf", "authentication.conf"):
        text = render("control_plane", f"{file}.j2", {**variables(name), "bmk_vip_key_file": str(directory / "key")})
        text = text.replace("/etc/keepalived", str(directory)).replace("/usr/bin/curl", "/bin/true")
        (directory / file).write_text(text)
        (directory / file).chmod(0o600)
    argv = ["keepalived", "--dont-fork", "--vrrp", "--log-console", "--log-detail", "--use-file"]
    return wire.start(name, *argv, f"{directory}/keepalived.conf", "--pid", f"/run/{name}", "--vrrp_pid", "/run/vrrp")


def carries(wire: Wire, name: str) -> bool:
    return f" {VIP}/32" in wire.on(name, "ip -4 -o addr show dev eth0")


@pytest.fixture
def vip(wire: Wire) -> Wire:
    """Two control planes, of which the first carries the VIP, and a stranger's machine."""
    for name, address in MEMBERS.items():
        wire.node(name, address)
        wire.daemons[name] = run(wire, name)
    wire.node("rogue", ROGUE)
    until(lambda: carries(wire, "cp-1") and not carries(wire, "cp-2"), "the first control plane carries the VIP")
    said = "".join((wire.directory / f"{name}.keepalived.log").read_text() for name in MEMBERS)
    assert not [word for word in ("nknown", "WARNING", "nvalid", "gnoring") if word in said], said
    return wire


def test_the_other_takes_over_when_one_is_gone(vip: Wire) -> None:
    """They hear and believe each other, also one who counts from the beginning: the VIP goes and comes back."""
    vip.on("cp-1", "ip link set eth0 down")
    until(lambda: carries(vip, "cp-2"), "the second carries the VIP")
    vip.on("cp-1", "ip link set eth0 up")
    until(lambda: carries(vip, "cp-1") and not carries(vip, "cp-2"), "the first carries it again, alone")
    vip.daemons["cp-1"].terminate()
    vip.daemons["cp-1"].wait(20)
    until(lambda: carries(vip, "cp-2"), "the second carries the VIP again")
    run(vip, "cp-1")
    until(lambda: carries(vip, "cp-1") and not carries(vip, "cp-2"), "the first carries it after its restart, alone")


@pytest.mark.parametrize(("source", "password"), [(ROGUE, ()), (MEMBERS["cp-2"], ()), (MEMBERS["cp-2"], (KEY,))])
def test_nobody_takes_the_vip_by_saying_so(vip: Wire, source: str, password: tuple[str, ...]) -> None:
    """Adverts of the highest priority, from a stranger or in the name of the other, even with its key in the clear."""
    script = Path(__file__).with_name("rogue_vrrp.py")
    vip.on("rogue", " ".join((sys.executable, str(script), source, MEMBERS["cp-1"], ROUTER, VIP, *password)))
    assert carries(vip, "cp-1")
    log = (vip.directory / "cp-1.keepalived.log").read_text()
    assert "Entering BACKUP STATE" not in log.partition("Entering MASTER STATE")[2]
