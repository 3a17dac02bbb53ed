"""The whole boot server (nginx, boot service, dnsmasq) as machines on its network see it."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.boot.server import processes
from bmk.boot.supervise import read_state
from bmk.datacenter.resolve import Host
from tests.services.boot.conftest import RAW, Boot, Room, until

pytestmark = pytest.mark.services

KEY = "ssh-ed25519 " + "A" * 68 + " root@host"
TOKEN = "t" * 43


def get(machine: Room, url: str, *more: str) -> tuple[int, str]:
    """Status and body of one request."""
    said = machine.run("curl", "-s", "-m", "20", "-w", "\n%{http_code}", *more, url, check=False)
    body, _, status = said.rpartition("\n")
    return int(status), body


def post(machine: Room, url: str, body: Any, token: str = "") -> tuple[int, Any]:
    authorization = ("-H", f"Authorization: Bearer {token}") if token else ()
    status, text = get(machine, url, "--json", json.dumps(body), *authorization)
    return status, json.loads(text) if text.startswith("{") else text


def install(boot: Boot, host: Host, machine: Room, grant: Grant) -> list[tuple[str, Any, str]]:
    """The way of a ramdisk through the routes, with everything checked; returns the requests for a replay."""
    base = f"{boot.url}/agent/{grant.id}"
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [host.mac], "disks": [], "token": TOKEN}
    assert f"/install/{grant.id}/vmlinuz" in get(machine, f"{boot.url}/boot/ipxe?mac={host.mac}&platform=efi")[1]
    for name, artifact in (("vmlinuz", "install-kernel"), ("initrd.img", "install-initrd")):
        assert get(machine, f"{boot.url}/install/{grant.id}/{name}")[1].startswith(f"bytes of {artifact}")
    status, spec = post(machine, f"{base}/claim", facts)
    assert status == 200, spec
    bearer = ("-H", f"Authorization: Bearer {TOKEN}")
    assert get(machine, spec["image"]["url"], "-r", "0-20")[0] == 403
    assert get(machine, spec["image"]["url"], "-r", "0-20", *bearer) == (206, "bytes of node-image b")
    assert post(machine, f"{base}/events", [{"kind": "image.progress", "text": "half"}], TOKEN)[0] == 200
    report = {"image_sha256": spec["image"]["sha256"], "readback_sha256": RAW, "host_keys": [KEY], "bytes": 1}
    report["disk_serial"] = host.disk.serial or "any"
    assert post(machine, f"{base}/done", report, TOKEN)[0] == 200
    requests: list[tuple[str, Any, str]] = [(f"{boot.url}/boot/ipxe?mac={host.mac}", None, "")]
    requests += [(f"{boot.url}/install/{grant.id}/{name}", None, "") for name in ("vmlinuz", "initrd.img", "image.zst")]
    requests += [(f"{base}/{verb}", body, TOKEN) for verb, body in (("claim", facts), ("done", report), ("events", []))]
    return requests


def test_after_success_every_boot_route_answers_local_disk(boot: Boot) -> None:
    """Every host installs once; then all its requests, replayed, bring neither a kernel nor a byte of the installer."""
    boot.start("boot-service", "nginx")
    for name in boot.dc.hosts:
        host, machine = boot.host(name)
        if host.network.cidr.network_address != boot.dc.spec.networks["nodes"].cidr.network_address:
            continue  # the office is not on this bridge; the routes' unit test covers its host
        for url, body, token in install(boot, host, machine, boot.grant(name)):
            status, text = post(machine, url, body, token) if body is not None else get(machine, url)
            assert "kernel" not in str(text)
            assert "bytes of" not in str(text)
            if "/boot/ipxe" in url:
                assert "sanboot --no-describe --drive 0x80" in text
            elif "/install/" in url or url.endswith("/claim"):
                assert status == 403


def test_installer_bytes_need_the_grant_of_that_host(boot: Boot) -> None:
    """Without a grant, with another host's, by another address, by /files/, by a trick in the path: never a byte."""
    boot.start("boot-service", "nginx")
    (_, own), (_, other) = boot.host("cp-1"), boot.host("worker-1")
    guessed = f"{boot.url}/install/{'0' * 32}/vmlinuz"
    assert get(own, guessed)[0] == 403
    grant = boot.grant("cp-1")
    good = f"{boot.url}/install/{grant.id}/vmlinuz"
    assert get(other, good)[0] == 403
    assert get(own, good)[0] == 200
    paths = ["install-kernel/1/vmlinuz", "install-initrd/1/initrd.img", "node-image/1/image.zst"]
    tricks = [f"/files/{path}" for path in paths]
    tricks += ["/files//install-kernel/1/vmlinuz", "/files/kubelet/../install-kernel/1/vmlinuz", "/authorize"]
    tricks += ["/files/%69nstall-kernel/1/vmlinuz", f"/install/{grant.id}/../x/vmlinuz", f"/install/{grant.id}/vmlinux"]
    tricks += ["/files/../../../etc/passwd", "/files/..%2f..%2fjournal.db", "/boot/loader/../nginx.conf"]
    for path in tricks:
        status, body = get(own, boot.url + path, "--path-as-is")
        assert status in (400, 403, 404), (path, status)
        assert "bytes of" not in body
    for method in ("PUT", "DELETE", "POST"):
        assert get(own, good, "-X", method)[0] in (403, 405)
        assert get(own, f"{boot.url}/files/kubelet/kubelet", "-X", method)[0] in (403, 405)
    assert get(own, f"{boot.url}/files/kubelet/kubelet") == (200, "a file for nodes\n")


def test_a_client_cannot_claim_to_be_another_address(boot: Boot) -> None:
    """Headers that a machine sends itself do not count: nginx says who asks and for what."""
    boot.start("boot-service", "nginx")
    _, other = boot.host("worker-1")
    grant = boot.grant("cp-1")
    lies = ("-H", "X-Real-IP: 10.20.0.11", "-H", f"X-Original-URI: /install/{grant.id}/vmlinuz")
    assert get(other, f"{boot.url}/install/{grant.id}/vmlinuz", *lies)[0] == 403
    assert get(other, f"{boot.url}/authorize", *lies)[0] == 404


def test_an_expired_grant_serves_nothing(boot: Boot) -> None:
    """After its time a grant is worth nothing, and the journal says that it expired."""
    boot.start("boot-service", "nginx")
    host, machine = boot.host("cp-1")
    grant = boot.grant("cp-1", lifetime=1.0)
    until(lambda: time.time() > grant.expires, "the grant expires")
    assert "kernel" not in get(machine, f"{boot.url}/boot/ipxe?mac={host.mac}")[1]
    assert get(machine, f"{boot.url}/install/{grant.id}/vmlinuz")[0] == 403
    until(lambda: boot.journal.since(host="cp-1", kind="grant.expired"), "the service closes it")


def test_a_killed_service_comes_back_where_it_was(boot: Boot) -> None:
    """kill -9 between claim and report: meanwhile no install is served; afterwards the same token finishes the job."""
    boot.start("boot-service", "nginx")
    host, machine = boot.host("cp-1")
    grant = boot.grant("cp-1")
    base = f"{boot.url}/agent/{grant.id}"
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [host.mac], "token": TOKEN}
    _, spec = post(machine, f"{base}/claim", facts)
    bearer = ("-H", f"Authorization: Bearer {TOKEN}")
    boot.running["boot-service"].send_signal(signal.SIGKILL)
    boot.running.pop("boot-service").wait(10)
    assert get(machine, f"{boot.url}/boot/ipxe?mac={host.mac}")[0] == 502
    assert get(machine, f"{boot.url}/install/{grant.id}/image.zst")[0] == 500
    boot.start("boot-service")
    assert get(machine, f"{boot.url}/install/{grant.id}/image.zst", *bearer)[0] == 200
    assert post(machine, f"{base}/claim", facts) == (200, spec)
    assert post(machine, f"{base}/claim", {**facts, "token": "u" * 43})[0] == 403
    sha256 = spec["image"]["sha256"]
    report = {"image_sha256": sha256, "readback_sha256": RAW, "host_keys": [KEY], "disk_serial": "DISK-0001"}
    assert post(machine, f"{base}/done", report, TOKEN)[0] == 200
    assert grants.get(boot.journal, grant.id).outcome == "spent"


def test_who_starts_the_service_goes_on_when_it_answers(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a unit of `Type=notify`: systemd hears that it is ready, and the very next question is answered."""
    boot.start("boot-service", "nginx")
    boot.running.pop("boot-service").kill()
    _, machine = boot.host("cp-1")
    until(lambda: get(machine, f"{boot.url}/healthz")[0] == 502, "the service is gone")
    again = next(p for p in processes(boot.dc, boot.state, boot.mirror, boot.artifacts()) if p.name == "boot-service")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(boot.state / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(boot.state / "notify"))
        boot.running["boot-service"] = boot.room.start(*again.argv, log=boot.state / "again.out", env=dict(again.env))
        assert systemd.recv(100) == b"READY=1"
    assert get(machine, f"{boot.url}/healthz")[0] == 200


def test_a_busy_journal_delays_answers_and_loses_none(boot: Boot) -> None:
    """While another process holds the journal's write lock, machines wait; no answer goes unjournaled."""
    boot.start("boot-service", "nginx")
    host, machine = boot.host("cp-1")
    got: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: got.append(get(machine, f"{boot.url}/boot/ipxe?mac={host.mac}")))
    with boot.journal.transaction():
        asking.start()
        asking.join(1.0)
        assert not got
    asking.join(20)
    assert got[0][0] == 200
    assert len(boot.journal.since(host="cp-1", kind="boot.answered")) == 1


def test_a_changed_data_center_is_served_without_a_restart(boot: Boot, tmp_path: Path) -> None:
    """A host that is added to the file is known to the running service; a broken file changes nothing and is told."""
    source = boot.dc.source.parent
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("dc.yml", "addresses.yml"):
        (copy / name).write_text((source / name).read_text())
    whole = (copy / "dc.yml").read_text()
    boot.dc = replace(boot.dc, source=copy / "dc.yml")
    boot.start("boot-service", "nginx")
    _, machine = boot.host("cp-1")
    (copy / "dc.yml").write_text("nonsense: [")
    until(lambda: boot.journal.since(kind="boot.reload_failed"), "the broken file is told")
    assert "boot.answered" not in get(machine, f"{boot.url}/boot/ipxe?mac=52:54:00:20:00:99")[1]
    (copy / "dc.yml").write_text(whole.replace("52:54:00:20:00:21", "52:54:00:20:00:99"))
    until(lambda: boot.journal.since(kind="boot.reloaded"), "the changed file is loaded")
    assert "worker-1" in get(machine, f"{boot.url}/boot/ipxe?mac=52:54:00:20:00:99")[1]
    assert "52:54:00:20:00:99,10.20.0.21" in (boot.state / "boot" / "dnsmasq.hosts").read_text()


def _everything(boot: Boot) -> Iterator[tuple[str, bytes]]:
    for path in boot.state.rglob("*"):
        if path.is_file() and path.name not in ("id_ed25519", "secrets.yml"):
            yield str(path), path.read_bytes()


def test_no_secret_is_in_a_served_byte_or_a_log_line(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Canaries in the deployer's key, the secrets file and the environment, and the minted token, are found nowhere."""
    canaries = ["CANARY-private-key", "CANARY-bmc-password", "CANARY-environment"]
    monkeypatch.setenv("BMK_SECRET_BMC_HALL_PASSWORD", canaries[2])
    (boot.state / "ssh" / "id_ed25519").write_text(canaries[0])
    (boot.state / "secrets.yml").write_text(f"bmc/hall: {{username: admin, password: {canaries[1]}}}\n")
    boot.start()
    host, machine = boot.host("cp-1")
    grant = boot.grant("cp-1")
    served = [get(machine, boot.url + path)[1] for path in ("/boot/ipxe", "/healthz", "/", "/files/", "/boot/loader/")]
    served.append(get(machine, f"{boot.url}/boot/ipxe?mac={host.mac}")[1])
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [host.mac], "token": TOKEN}
    served.append(json.dumps(post(machine, f"{boot.url}/agent/{grant.id}/claim", facts)[1]))
    token = TOKEN
    for verb, body in (("events", [{"kind": "x", "text": "y"}]), ("failed", {"what": "no"}), ("claim", facts)):
        served.append(json.dumps(post(machine, f"{boot.url}/agent/{grant.id}/{verb}", body, token)[1]))
    for secret in (*canaries, token):
        assert not [text for text in served if secret in text]
        assert not [name for name, content in _everything(boot) if secret.encode() in content]
    for process in boot.running.values():
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert not [secret for secret in (*canaries, token) if secret.encode() in arguments]


def test_the_registry_serves_and_takes_nothing(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-registry answers nodes from the cache directory and refuses every upload."""
    monkeypatch.setenv("BMK_CACHE_DIR", str(boot.state / "cache"))
    boot.start("boot-service", "nginx", "registry")
    _, machine = boot.host("cp-1")
    known = ("--cacert", str(boot.state / "boot" / "registry.crt"))
    url = f"https://{boot.address}:5000/v2/"
    until(lambda: get(machine, url, *known)[0] == 200, "the registry answers")
    assert get(machine, f"{url}pause/blobs/uploads/", *known, "-X", "POST")[0] in (405, 503)


def test_a_request_counts_for_the_machine_that_has_the_address(boot: Boot) -> None:
    """A machine that gives its own NIC cp-1's address gets nothing of cp-1's: the kernel knows whose MAC it is."""
    boot.start("boot-service", "nginx")
    grant = boot.grant("cp-1")
    rogue = boot.machine("02:00:00:00:00:66")
    rogue.run("ip", "addr", "add", "10.20.0.11/16", "dev", "eth0")
    facts = {"uuid": boot.dc.hosts["cp-1"].uuid, "serial": "SN-0001", "macs": ["52:54:00:20:00:11"], "token": TOKEN}
    assert "kernel" not in get(rogue, f"{boot.url}/boot/ipxe?mac=52:54:00:20:00:11&serial=SN-0001")[1]
    assert get(rogue, f"{boot.url}/install/{grant.id}/vmlinuz")[0] == 403
    status, said = post(rogue, f"{boot.url}/agent/{grant.id}/claim", facts)
    assert status == 403
    assert not [value for value in ("SN-", "52:54", "10.20", "cp-1") if value in json.dumps(said)]
    assert grants.get(boot.journal, grant.id).claimed is None


def test_a_flood_is_answered_slowly_and_costs_nobody_else(boot: Boot) -> None:
    """A machine that asks without pause is told to come again later; meanwhile another one gets its script."""
    boot.start("boot-service", "nginx")
    (_, loud), (host, quiet) = boot.host("worker-1"), boot.host("cp-1")
    boot.grant("cp-1")
    flood = ("curl", "-s", "-Z", "--parallel-max", "32", "-o", "/dev/null", "-w", "%{http_code}\n")
    codes = loud.run(*flood, f"{boot.url}/boot/ipxe?mac=02:0[0-9]:[0-99]").split()
    assert len(codes) == 1000
    assert set(codes) == {"200", "503"}
    assert "kernel" in get(quiet, f"{boot.url}/boot/ipxe?mac={host.mac}")[1]
    assert len(boot.journal.since(kind="boot.answered")) < 100
    assert set(boot.room.run(*flood, f"{boot.url}/boot/ipxe?n=[1-200]").split()) == {"200"}


def test_the_service_ends_although_connections_are_busy(boot: Boot) -> None:
    """SIGTERM with a client that asks without end, one that is idle and one that sent half a request: an end with 0."""
    boot.start("boot-service", "nginx")
    talk = (
        "import socket, sys\n"
        "half, idle, busy = (socket.create_connection(('127.0.0.1', 8081)) for _ in range(3))\n"
        "half.sendall(b'POST /agent/x/done HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9\\r\\n\\r\\n[')\n"
        "ask = b'GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'\n"
        "idle.sendall(ask); idle.recv(4096)\n"
        "while True:\n"
        "    busy.sendall(ask)\n"
        "    if not busy.recv(4096): sys.exit()\n"
        "    print('asked', flush=True)\n"
    )
    log = boot.state / "talk.out"
    boot.room.start(sys.executable, "-c", talk, log=log)
    until(lambda: "asked" in log.read_text(), "the client asks")
    service = boot.running.pop("boot-service")
    service.send_signal(signal.SIGTERM)
    assert service.wait(20) == 0
    assert read_state(boot.journal) is None
