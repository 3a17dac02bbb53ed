"""The boot service against nginx alone: so many machines that ask at the same moment, side by side in one run.

    python bench/boot.py [--machines 1000] [--rounds 3]

Everything runs in a network namespace of its own. "static" is nginx with a file of the same bytes; the subjects are the
iPXE script of a granted host (a decision from the journal, journaled) and the installer's kernel, 64 kB, which nginx
serves after it asked the service. Every machine has its own address and connection, as firmware does; all are opened at
once. Seconds: until the last machine has its answer; best of the rounds. The client is one process beside the servers;
CPU seconds are the servers' own, for when other work shares the machine.
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


def everyone(server: tuple[str, int], wishes: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Ask all at once; each wish is (address of the machine, path). Seconds until the last, the median and the 99th."""
    selector, began, done = selectors.DefaultSelector(), time.perf_counter(), []
    bad = 0
    for source, path in wishes:
        machine = socket.socket()
        machine.setblocking(False)
        machine.bind((source, 0))
        machine.connect_ex(server)
        request = f"GET {path} HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n\r\n".encode()
        selector.register(machine, selectors.EVENT_WRITE, request)
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


def asked(file: Path, server: tuple[str, int], wishes: Sequence[tuple[str, str]]) -> dict[str, Any]:
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


def bench(machines: int, rounds: int, room: Path) -> None:
    """Start the servers, measure every subject in turn, print the table."""
    from load import generate

    from bmk.boot import grants, server
    from bmk.datacenter.load import load_datacenter
    from bmk.journal import Journal

    (room / "hall").mkdir()
    generate(room / "hall", machines)
    dc = load_datacenter(room / "hall")
    address = str(dc.spec.deployer.address)
    # On the loopback device a whole network is local: every machine asks from its own address.
    for command in ("link set lo up", f"addr add {address}/14 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    kernel = room / "mirror" / "files" / "install-kernel" / "vmlinuz"
    kernel.parent.mkdir(parents=True)
    kernel.write_bytes(os.urandom(65536))
    url = f"http://{address}/files/install-kernel/vmlinuz"
    artifacts = {"install-kernel": {"url": url, "sha256": "", "version": "1", "size": 65536}}
    journal = Journal(room / "journal.db")
    hosts = list(dc.hosts.values())
    image = ("node-image", "0" * 64)
    granted = {h.name: grants.open_grant(journal, grants.permission(h, image), time.time()).id for h in hosts}
    boots = [(str(h.address), f"/boot/ipxe?mac={h.mac}&uuid=&serial={h.serial}&platform=efi") for h in hosts]
    kernels = [(str(h.address), f"/install/{granted[h.name]}/vmlinuz") for h in hosts]
    static = room / "mirror" / "files" / "static"
    static.mkdir()
    (static / "kernel").write_bytes(kernel.read_bytes())
    made = server.processes(dc, room, room / "mirror", artifacts)
    running = [start(process, room) for process in made if process.name in ("boot-service", "nginx")]
    try:
        where = (address, 80)
        script = wait_for(where, boots[0])
        (static / "script").write_bytes(script)
        same = [(source, "/files/static/script") for source, _ in boots]
        bytes_alone = [(source, "/files/static/kernel") for source, _ in kernels]
        pairs = {"iPXE script": (same, boots), "kernel, 64 kB": (bytes_alone, kernels)}
        before = journal.last_seq()
        report(pairs, rounds, lambda wishes: asked(room / "wishes.json", where, wishes))
        told = sum(e.kind in ("boot.answered", "install.served") for e in journal.since(before))
        print(f"journaled: {told} of {2 * rounds * machines} answers")
    finally:
        for process in running:
            process.terminate()
            process.wait(20)


def report(pairs: dict[str, Any], rounds: int, ask: Any) -> None:
    columns = f"{'last s':>7} {'median':>7} {'p99':>7} {'per s':>7} {'ratio':>6} {'CPU s':>6} {'ratio':>6} {'bad':>4}"
    print(f"{'subject':<14} {'':<8} {columns}")
    for name, (same, wishes) in pairs.items():
        runs = [(ask(same), ask(wishes)) for _ in range(rounds)]
        static, service = (min((run[i] for run in runs), key=lambda r: r["seconds"]) for i in (0, 1))
        for kind, result in (("static", static), ("service", service)):
            ratio = result["seconds"] / static["seconds"]
            rate = len(wishes) / result["seconds"]
            figures = f"{result['seconds']:>7.3f} {result['median']:>7.3f} {result['p99']:>7.3f} {rate:>7.0f}"
            cpu = f"{result['cpu']:>6.2f} {result['cpu'] / max(static['cpu'], 0.01):>6.2f}"
            print(f"{name:<14} {kind:<8} {figures} {ratio:>6.2f} {cpu} {result['bad']:>4}")


def start(process: Any, room: Path) -> subprocess.Popen[bytes]:
    from bmk.boot import server

    server.write(process.files)
    with (room / f"{process.name}.log").open("wb") as log:
        return subprocess.Popen(process.argv, stdout=log, stderr=log, env={**os.environ, **process.env})


def wait_for(where: tuple[str, int], wish: tuple[str, str]) -> bytes:
    """The body of the first good answer."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got = subprocess.run(["curl", "-sf", f"http://{where[0]}{wish[1]}"], capture_output=True, check=False)
        if got.returncode == 0:
            return got.stdout
        time.sleep(0.1)
    raise SystemExit("the boot server did not come up")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        where, wishes = json.loads(Path(arguments.ask).read_text())
        print(json.dumps(everyone((where[0], where[1]), wishes)))
        return
    if arguments.machines > MOST:
        raise SystemExit(f"at most {MOST} machines at once: that is how long the servers' queues are")
    if INSIDE not in os.environ:
        flags = ["-n", "-m"] if os.geteuid() == 0 else ["-U", "-r", "-n", "-m"]
        os.environ[INSIDE] = "1"
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as room:
        bench(arguments.machines, arguments.rounds, Path(room))


if __name__ == "__main__":
    main()
