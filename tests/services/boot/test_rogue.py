"""A stranger on the boot network that has MAC, address, UUID and serial of a host, and is faster than it.

It runs the real install agent against the real boot server, in a network of its own. Without a proof it becomes the
host; with one it gets what everybody may have (kernel and ramdisk), and the host installs after it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmk.agent.nonces.console import nonces_in
from bmk.boot import grants
from bmk.boot.grants import Grant, GrantedImage, permission
from bmk.boot.nonces import Nonces
from bmk.journal.diagnosis import diagnose
from bmk.journal.host_status import project
from tests.services.boot.conftest import Boot, Room, until

pytestmark = pytest.mark.services

HOST = "cp-1"
REPOSITORY = Path(__file__).parents[3]
Got = dict[str, Any]


def opened(boot: Boot, way: str) -> Grant:
    digest = str(boot.artifacts()["node-image"]["sha256"])
    wanted = replace(permission(boot.dc.hosts[HOST], GrantedImage("node-image", digest, digest)), attest=way)
    return grants.open_grant(boot.journal, wanted, time.time())


def played(boot: Boot, nonces: dict[str, bytes], log: Path, grant: Grant | None = None) -> Got:
    """A machine that says it is HOST, from power-on until its agent ends; its cable is then pulled.

    With `grant`, its console is read meanwhile, as the deployer does.
    """
    host, machine = boot.host(HOST)
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [nic.mac for nic in host.nics], "disk": host.disk.serial}
    case = json.dumps({**facts, "nonces": {way: nonce.hex() for way, nonce in nonces.items()}})
    command = (sys.executable, "-m", "tests.services.boot.player", boot.url, case)
    process = machine.start(*command, log=log, env={"PYTHONPATH": str(REPOSITORY)})
    until(lambda: _heard(boot, grant, log) or process.poll() is not None, f"the agent ends; see {log}", 90)
    machine.close()
    boot.room.run("ip", "neigh", "flush", "all")
    got: Got = json.loads(log.read_text().splitlines()[-1])
    return got


def _heard(boot: Boot, grant: Grant | None, log: Path) -> None:
    for nonce in nonces_in(log.read_bytes(), grant.id) if grant else ():
        Nonces.of(boot.journal).keep(grant.id, nonce)  # type: ignore[union-attr]


def pinned(boot: Boot) -> Any:
    return boot.journal.facts(HOST).get("host_keys")


def test_without_a_proof_the_faster_one_becomes_the_host(boot: Boot, tmp_path: Path) -> None:
    """attest: none, and what it costs: the stranger's key is pinned, and the real machine is sent to its disk."""
    boot.start("boot-service", "nginx")
    opened(boot, "none")
    stolen = played(boot, {}, tmp_path / "stranger.log")
    assert pinned(boot) == stolen["keys"]
    assert played(boot, {}, tmp_path / "real.log") == {"booted": "local disk"}


@pytest.mark.parametrize("way", ["mailbox", "media"])
@pytest.mark.parametrize("guess", [False, True])
def test_with_a_secret_in_the_bmc_it_gets_nothing(boot: Boot, tmp_path: Path, way: str, guess: bool) -> None:
    """No spec, no claim, no pin, whether it has no secret or makes one up; then the real machine is installed."""
    boot.start("boot-service", "nginx")
    grant = opened(boot, way)
    nonce = Nonces.of(boot.journal).made(grant.id)
    got = played(boot, {way: bytes(32)} if guess else {}, tmp_path / "stranger.log")
    assert (got["booted"], got.get("spec", False), pinned(boot)) == ("ramdisk", False, None)
    assert grants.get(boot.journal, grant.id).claimed is None
    real = played(boot, {way: nonce}, tmp_path / "real.log")
    assert pinned(boot) == real["keys"]


def test_a_stranger_cannot_prove_itself_by_its_own_console(boot: Boot, tmp_path: Path) -> None:
    """By console: the deployer reads the console of the BMC that it identified, and there the real machine prints."""
    boot.start("boot-service", "nginx")
    grant = opened(boot, "console")
    Nonces.of(boot.journal).keep(grant.id, bytes(range(32)))  # of the real machine, which came up first for once
    got = played(boot, {}, tmp_path / "stranger.log")
    assert (got["booted"], got["spec"], pinned(boot)) == ("ramdisk", False, None)
    Nonces.of(boot.journal).forget(grant.id)
    real = played(boot, {}, tmp_path / "real.log", grant)
    assert pinned(boot) == real["keys"]


def test_bmk_why_names_the_stranger(boot: Boot, tmp_path: Path) -> None:
    """Its address and the MAC that the boot server sees behind it; the refusal told the stranger nothing of it."""
    boot.start("boot-service", "nginx")
    grant = opened(boot, "media")
    Nonces.of(boot.journal).made(grant.id)
    got = played(boot, {"media": bytes(32)}, tmp_path / "stranger.log")
    host = boot.dc.hosts[HOST]
    told = [event.text for event in diagnose(boot.journal, HOST, project(boot.journal, "hall", None)).events]
    assert any(f"from {host.address}, MAC {host.mac}" in text for text in told), told
    assert "proof" not in got["error"].replace("proven", "")
    assert str(host.address) not in got["error"]


def test_a_machine_with_another_mac_is_named_by_it(boot: Boot) -> None:
    """It takes the host's address but not its MAC: it does not even get the installer."""
    boot.start("boot-service", "nginx")
    grant = opened(boot, "media")
    Nonces.of(boot.journal).made(grant.id)
    stranger: Room = boot.machine("02:00:00:00:00:66")
    host = boot.dc.hosts[HOST]
    stranger.run("ip", "addr", "add", f"{host.address}/{host.network.cidr.prefixlen}", "dev", "eth0")
    claim = {"uuid": host.uuid, "serial": host.serial, "macs": [host.mac], "disks": [], "token": "t" * 43}
    url = f"{boot.url}/agent/{grant.id}/claim"
    assert "403" in stranger.run("curl", "-s", "-w", "%{http_code}", "--json", json.dumps(claim), url)
    assert "MAC 02:00:00:00:00:66" in boot.journal.since(host=HOST, kind="attest.refused")[-1].text
