"""The boot service against nginx alone, and against itself before a change: many machines that ask at the same moment.

    python bench/boot.py [--machines 1000] [--rounds 3] [--before /path/to/another/checkout]

Everything runs in a network namespace of its own. "static" is nginx with a file of the same bytes; the subjects are the
iPXE script of a granted host (a decision from the journal, journaled), the installer's kernel, 64 kB, which nginx
serves after it asked the service, and the claim of a grant. Every machine has its own address and connection, as
firmware does; all are opened at once, and every round has grants of its own. With --before the same is asked of the
service of another checkout, in turns. Seconds: until the last machine has its answer; best of the rounds. The client is
one process beside the servers; CPU seconds are the servers' own, for when other work shares the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INSIDE = "BMK_BENCH_INSIDE"
MOST = 4096  # listen backlog of nginx and of the service
Wish = tuple[str, str, str]  # address of the machine, path, body of a POST


def everyone(server: tuple[str, int], wishes: Sequence[Wish]) -> dict[str, Any]:
    """Ask all at once. Seconds until the last, the median and the 99th."""
    selector, began, done = selectors.DefaultSelector(), time.perf_counter(), []
    bad = 0
    for source, path, body in wishes:
        machine = socket.socket()
        machine.setblocking(False)
        machine.bind((source, 0))
        machine.connect_ex(server)
        selector.register(machine, selectors.EVENT_WRITE, spoken(path, body))
    while selector.get_map():
        for key, _ in selector.select(30):
            machine = key.fileobj
            assert isinstance(machine, socket.socket)
            if isinstance(key.data, bytes):
                machine.send(key.data)
                selector.modify(machine, selectors.EVENT_READ, [])
            elif part := machine.recv(1 << 17):
                key.data.append(part[:12] if not key.data else None)
            else:
                done.append(time.perf_counter() - began)
                bad += not key.data or key.data[0] != b"HTTP/1.1 200"
                selector.unregister(machine)
                machine.close()
    done.sort()
    return {"seconds": done[-1], "median": done[len(done) // 2], "p99": done[len(done) * 99 // 100], "bad": bad}


def spoken(path: str, body: str) -> bytes:
    """The request as bytes; a POST when there is a body."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return (
        f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: boot\r\n{length}Connection: close\r\n\r\n{body}".encode()
    )


def asked(file: Path, server: tuple[str, int], wishes: Sequence[Wish]) -> dict[str, Any]:
    """The same from a process of its own, with the CPU seconds that the servers took for it."""
    file.write_text(json.dumps([server, wishes]))
    before = cpu_of_servers()
    run = subprocess.run([sys.executable, __file__, "--ask", str(file)], capture_output=True, text=True, check=True)
    return {**json.loads(run.stdout), "cpu": cpu_of_servers() - before}


def cpu_of_servers() -> float:
    """CPU seconds of nginx and the boot service so far: of everything below this process."""
    children: dict[int, list[int]] = {}
    ticks = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
            ticks[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    below, total = list(children.get(os.getpid(), [])), 0
    while below:
        pid = below.pop()
        total += ticks[pid]
        below += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


class Tree:
    """One checkout of bmk and a boot server of it. What differs between versions runs in processes of that version."""

    def __init__(self, name: str, root: Path, room: Path, machines: int) -> None:
        from load import generate  # type: ignore[import-not-found]  # beside this file; mypy looks from the root

        self.name, self.root, self.room = name, root, room / name
        (self.room / "hall").mkdir(parents=True)
        generate(self.room / "hall", machines)
        files = self.room / "mirror" / "files"
        for part in ("install-kernel", "static"):
            (files / part).mkdir(parents=True)
        (files / "install-kernel" / "vmlinuz").write_bytes(os.urandom(65536))
        (files / "static" / "kernel").write_bytes(os.urandom(65536))
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    def up(self) -> tuple[str, int]:
        """Start nginx and the service; returns where they answer."""
        made = json.loads(self._own("--render"))
        for process in made["processes"]:
            for path, text in process["files"].items():
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(text)
            with (self.room / f"{process['name']}.log").open("ab") as log:
                env = {**self.env, **process["env"]}
                self.running.append(subprocess.Popen(process["argv"], stdout=log, stderr=log, env=env, cwd=self.room))
        where = (made["address"], 80)
        wait_for(where, "/healthz")
        return where

    def down(self) -> None:
        while self.running:
            process = self.running.pop()
            process.terminate()
            process.wait(20)

    def grants(self) -> dict[str, list[Wish]]:
        """New grants for all, and what the machines of these grants ask."""
        found: dict[str, list[Wish]] = json.loads(self._own("--grant"))
        return found

    def _own(self, what: str) -> str:
        argv = [sys.executable, __file__, what, str(self.room)]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=self.env).stdout


def render(room: Path) -> dict[str, Any]:
    """In a process of the version that is measured: what to run."""
    from bmk.boot import server
    from bmk.datacenter.load import load_datacenter

    dc = load_datacenter(room / "hall")
    url = f"http://{dc.spec.deployer.address}/files/install-kernel/vmlinuz"
    artifacts = {"install-kernel": {"url": url, "sha256": "", "version": "1", "size": 65536}}
    (room / "ssh").mkdir(exist_ok=True)
    (room / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA bench\n")
    made = server.processes(dc, room, room / "mirror", artifacts)
    processes = [
        {"name": p.name, "argv": p.argv, "env": dict(p.env), "files": {str(k): v for k, v in p.files.items()}}
        for p in made
        if p.name in ("boot-service", "nginx")
    ]
    return {"address": str(dc.spec.deployer.address), "processes": processes}


def grant(room: Path) -> dict[str, list[Wish]]:
    """In a process of the version that is measured: end all grants, open new ones."""
    from bmk.boot import grants
    from bmk.datacenter.load import load_datacenter
    from bmk.journal import Journal

    journal = Journal.open(room)
    hosts = list(load_datacenter(room / "hall").hosts.values())
    image: Any = getattr(grants, "Image", lambda *parts: parts[:2])("node-image", "0" * 64, "1" * 64)
    wishes: dict[str, list[Wish]] = {"iPXE script": [], "kernel, 64 kB": [], "claim": []}
    with journal.transaction() as db:
        db.execute("UPDATE grants SET ended = 1, outcome = 'revoked' WHERE ended IS NULL")
    for host in hosts:
        made = grants.open_grant(journal, grants.permission(host, image), time.time()).id
        address = str(host.address)
        disk = {"name": "sda", "size": 480_000_000_000, "serial": "D1", "wwn": None, "model": "bench", "holds": ""}
        said = {"uuid": None, "serial": host.serial, "macs": [host.mac], "firmware": "uefi", "disks": [disk]}
        wishes["iPXE script"].append(
            (address, f"/boot/ipxe?mac={host.mac}&uuid=&serial={host.serial}&platform=efi", "")
        )
        wishes["kernel, 64 kB"].append((address, f"/install/{made}/vmlinuz", ""))
        wishes["claim"].append((address, f"/agent/{made}/claim", json.dumps({**said, "token": "t" * 43})))
    return wishes


def bench(machines: int, rounds: int, room: Path, before: Path | None) -> None:
    """Measure every subject in turn, print the table."""
    trees = [Tree("service", ROOT, room, machines)]
    trees += [Tree("before", before, room, machines)] if before else []
    # On the loopback device a whole network is local: every machine asks from its own address.
    for command in ("link set lo up", f"addr add {json.loads(trees[0]._own('--render'))['address']}/14 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(rounds):
        for tree in trees if number % 2 else reversed(trees):
            wishes = tree.grants()
            where = tree.up()
            (tree.room / "mirror/files/static/script").write_bytes(wait_for(where, "/boot/ipxe?mac=02:00:00:00:00:01"))
            for subject, asking in wishes.items():
                if same := {"iPXE script": "script", "kernel, 64 kB": "kernel"}.get(subject):
                    static = [(source, f"/files/static/{same}", "") for source, _, _ in asking]
                    runs.setdefault((subject, "static"), []).append(asked(room / "wishes.json", where, static))
                runs.setdefault((subject, tree.name), []).append(asked(room / "wishes.json", where, asking))
            tree.down()
    report(runs, machines)


def report(runs: dict[tuple[str, str], list[dict[str, Any]]], machines: int) -> None:
    """`ratio`: to the service before the change, else to static; below it CPU seconds and theirs."""
    columns = f"{'last s':>7} {'median':>7} {'p99':>7} {'per s':>7} {'ratio':>6} {'CPU s':>6} {'ratio':>6} {'bad':>4}"
    print(f"{'subject':<14} {'':<8} {columns}")
    best = {key: min(results, key=lambda r: r["seconds"]) for key, results in runs.items()}
    cpu = {key: min(r["cpu"] for r in results) for key, results in runs.items()}
    for subject, kind in sorted(best, key=lambda key: (key[0], ("static", "before", "service").index(key[1]))):
        result = best[subject, kind]
        base = next(((subject, k) for k in ("before", "static") if (subject, k) in best), (subject, kind))
        ratio = result["seconds"] / best[base]["seconds"]
        figures = f"{result['seconds']:>7.3f} {result['median']:>7.3f} {result['p99']:>7.3f}"
        figures += f" {machines / result['seconds']:>7.0f} {ratio:>6.2f}"
        spent = f"{cpu[subject, kind]:>6.2f} {cpu[subject, kind] / max(cpu[base], 0.01):>6.2f}"
        print(f"{subject:<14} {kind:<8} {figures} {spent} {result['bad']:>4}")


def wait_for(where: tuple[str, int], path: str) -> bytes:
    """The body of the first good answer."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got = subprocess.run(["curl", "-sf", f"http://{where[0]}{path}"], capture_output=True, check=False)
        if got.returncode == 0:
            return got.stdout
        time.sleep(0.1)
    raise SystemExit("the boot server did not come up")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="another checkout of bmk, measured in turns with this one")
    for own in ("--ask", "--render", "--grant"):
        parser.add_argument(own, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        where, wishes = json.loads(Path(arguments.ask).read_text())
        print(json.dumps(everyone((where[0], where[1]), wishes)))
        return
    if room := arguments.render or arguments.grant:
        print(json.dumps((render if arguments.render else grant)(Path(room))))
        return
    if arguments.machines > MOST:
        raise SystemExit(f"at most {MOST} machines at once: that is how long the servers' queues are")
    if INSIDE not in os.environ:
        flags = ["-n", "-m"] if os.geteuid() == 0 else ["-U", "-r", "-n", "-m"]
        os.environ[INSIDE] = "1"
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as room:
        bench(arguments.machines, arguments.rounds, Path(room), arguments.before)


if __name__ == "__main__":
    main()
