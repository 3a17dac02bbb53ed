"""The network of pods: plug-ins, routes to the other nodes, and what lets packets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    roots,
    settings,
    test_downloads,
    test_files,
    test_units,
    tight,
)

CONFLIST = "/etc/cni/net.d/10-bmk.conflist"
WAY_OUT, TABLE = "/etc/nftables.d/bmk-masquerade.nft", "inet bmk-masquerade"


@pytest.fixture
def routed(recorded: Callable[[str], Any]) -> None:
    """For the plug-in that bmk itself configures; others are a manifest of their makers."""
    if CONFLIST not in {item["path"] for item in recorded("files")}:
        pytest.skip("another network plug-in")


def test_packets_are_forwarded(host: Any) -> None:
    """Baselines for other machines turn it off, and pods are cut off without a word; kube-proxy needs nftables."""
    assert settings(host, ["net.ipv4.ip_forward"]) == {"net.ipv4.ip_forward": "1"}
    seen = host.run("nft list tables")
    assert seen.rc == 0, seen.stderr


@pytest.mark.usefixtures("routed")
def test_its_configuration_is_the_only_one(host: Any) -> None:
    """The runtime takes the first file by name: another one would be another network."""
    there = host.check_output("ls -A /etc/cni/net.d").split()
    assert there == ["10-bmk.conflist"], there


@pytest.mark.usefixtures("routed")
def test_plug_ins_are_there(host: Any) -> None:
    """Every program that the configuration names can be run."""
    plugins = json.loads(host.check_output(f"cat {CONFLIST}"))["plugins"]
    names = {p["type"] for p in plugins} | {p["ipam"]["type"] for p in plugins if "ipam" in p} | {"loopback"}
    there = host.check_output("find /opt/cni/bin -maxdepth 1 -type f -user root -perm -0100 -printf '%f\\n'").split()
    nothing([f"/opt/cni/bin/{name} cannot be run" for name in sorted(names) if name not in there])


@pytest.mark.usefixtures("routed")
def test_it_tells_its_own_pods(host: Any) -> None:
    """bird has the range that pods here get their addresses from."""
    config, _, routes = host.check_output(f"cat {CONFLIST}; echo @; birdc show route protocol pods").rpartition("@\n")
    subnet = json.loads(config)["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
    assert subnet in routes, f"{subnet} is not among: {routes}"


@pytest.mark.usefixtures("routed", "member")
def test_neighbours_are_established(host: Any) -> None:
    """Every BGP session stands, and routes to the pods of neighbours are in the kernel."""
    lines = [line.split() for line in host.check_output("birdc show protocols").splitlines()]
    sessions = {line[0]: line[-1] for line in lines if len(line) > 3 and line[1] == "BGP"}
    nothing([f"{name}: {state}" for name, state in sessions.items() if state != "Established"])
    routes = host.check_output("ip -4 route show proto bird | grep -v unreachable; true").splitlines()
    assert bool(routes) == bool(sessions), f"{len(sessions)} neighbours, {len(routes)} routes"


@pytest.mark.usefixtures("routed")
def test_pods_leave_as_its_file_says(host: Any) -> None:
    """What the kernel has of the table is what the file makes in a network where nothing else is; or both have none."""
    show = f"nft -s list table {TABLE} 2>/dev/null"
    anew = f"unshare --net sh -c 'nft -f {WAY_OUT} && {show}'"
    live, _, made = host.check_output(f"{show}; echo @; {anew}; true").partition("@\n")
    assert live.strip() == made.strip(), f"the kernel has: {live or 'no such table'}; {WAY_OUT} says: {made or 'none'}"


@pytest.mark.usefixtures("routed")
def test_its_files_are_tight(host: Any) -> None:
    """CIS 1.1.9: a plug-in runs as root for every pod."""
    tight(host, {**roots(0o600, CONFLIST), **roots(0o700, "/etc/cni/net.d"), **roots(0o755, "/opt/cni/bin")})
    tight(host, {**roots(0o644, WAY_OUT), **roots(0o755, "/etc/nftables.d")})
    tight(host, {"/etc/bird/bird.conf": ("root", "bird", 0o640)})
