"""A fresh and a repeated converge against what raw parallel ssh needs for the same bytes on the same hosts, in one run.

    sudo python bench/converge.py [--hosts 4]

Raw, fresh: one ssh per host, whose script fetches the same files with curl, checks them with sha256sum, unpacks a tar
of the same configuration, sets the same sysctls and starts the same units. Raw, repeated: one ssh per host that hashes
the same files and asks systemd once. No tool can do it with less; ours also validates, diffs, records, and writes a
manifest. Seconds are of the wall clock; the hosts are system containers on this machine, all at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: roles}
spec:
  deployer: {address: 10.63.0.1}
  networks:
    nodes: {cidr: 10.63.0.0/24, gateway: 10.63.0.1, dns: [10.63.0.1]}
    bmc: {cidr: 10.64.0.0/24}
  profiles:
    container:
      bmc: {kind: redfish, secret: bmc/bench}
      lab: {kind: container, cpus: 2, memory: 2GiB, disk: 8GiB}
  clusters:
    roles:
      kubernetes: {version: 1.37.2}
      control_plane: {hosts: [h-1]}
      workers: {select: {role: worker}}
      network: {plugin: routed, pods: 10.65.0.0/16, services: 10.62.0.0/16}
  racks:
    r1:
      hosts:
"""


def data_center(hosts: int) -> str:
    """One control plane and workers."""
    lines = [
        f"        - {{name: h-{i}, profile: container, serial: B{i}, labels: {{role: {'worker' if i > 1 else 'cp'}}},\n"
        f'           nics: [{{mac: "52:54:00:63:00:{i:02x}"}}], address: 10.63.0.{10 + i},\n'
        f"           bmc: {{address: 10.64.0.{10 + i}}}, disk: {{serial: BD{i}}}}}\n"
        for i in range(1, hosts + 1)
    ]
    return HEAD + "".join(lines)


class Lab:
    """A lab of its own, with the hosts of the bench."""

    def __init__(self, directory: Path, hosts: int) -> None:
        self.state, self.file = directory / "state", directory / "dc.yml"
        self.names = [f"h-{i}" for i in range(1, hosts + 1)]
        self.file.write_text(data_center(hosts))
        self.environment = {**os.environ, "BMK_STATE_DIR": str(self.state)}

    def bmk(self, *arguments: str) -> None:
        """The command."""
        subprocess.run(
            [sys.executable, "-m", "bmk", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL
        )

    @contextmanager
    def up(self) -> Iterator[None]:
        """Fresh hosts, reachable; gone afterwards."""
        self.bmk("lab", "up", str(self.file))
        try:
            self.bmk("lab", "preseed", str(self.file))
            while any(p.wait() for p in self.ssh_all(lambda _: "true")):
                time.sleep(0.3)
            yield
        finally:
            self.bmk("lab", "down", str(self.file), "--delete")

    def ssh(self, host: str, output: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """A shell on a host, script by stdin."""
        state = self.state / "roles"
        pid = json.loads((state / "lab/supervisor.json").read_text())["pid"]
        options = ["-i", f"{state}/ssh/id_ed25519", "-o", f"UserKnownHostsFile={state}/known_hosts"]
        argv = [
            "nsenter",
            "-t",
            str(pid),
            "-n",
            "ssh",
            *options,
            f"root@10.63.0.{10 + int(host[2:])}",
            "sh",
            "-e",
            "-s",
        ]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL)

    def ssh_all(self, script: Callable[[str], str]) -> list[subprocess.Popen[bytes]]:
        """The same on all hosts at once; not waited for."""
        running = []
        for host in self.names:
            process = self.ssh(host)
            assert process.stdin
            process.stdin.write(script(host).encode())
            process.stdin.close()
            running.append(process)
        return running

    def converge(self) -> dict[str, Any]:
        """configure.yml on all hosts; the driver of the container tests."""
        driver = ROOT / "tests/containers/cluster/drive.py"
        asked = json.dumps({"playbook": "configure.yml", "hosts": self.names})
        argv = [sys.executable, str(driver), str(self.file), "converge", asked]
        done = subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True)
        results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["results"]
        bad = {host: r["message"] for host, r in results.items() if not r["ok"]}
        assert not bad, bad
        return results

    def read(self, host: str, script: str) -> str:
        """Output of a script on a host."""
        out, _ = self.ssh(host, subprocess.PIPE).communicate(script.encode())
        return out.decode()


def raw_fresh(sections: dict[str, Any], archive: str) -> str:
    """The least that makes a bare host what the manifest says."""
    lines = [f"base64 -d <<'END' | tar -xzf - -C /\n{archive}END"]
    for name, section in sections.items():
        kind = name.partition(".")[2]
        lines += [line for item in section["items"] for line in _LINES.get(kind, lambda _: [])(item)]
    lines += ["groupadd --system --gid 952 bmk-cri", "sysctl -q -p /etc/sysctl.d/90-bmk.conf || true"]
    return "\n".join([*lines, "systemctl daemon-reload", *_units(sections)]) + "\n"


def raw_again(sections: dict[str, Any]) -> str:
    """The least that can tell whether a host is what the manifest says."""
    files = [i["path"] for n, s in sections.items() if n.endswith(".files") for i in s["items"]]
    binaries = [i["dest"] for n, s in sections.items() if n.endswith(".downloads") for i in s["items"]]
    names = [i["name"] for n, s in sections.items() if n.endswith(".sysctls") for i in s["items"]]
    return (
        f"sha256sum {' '.join(b if b != '/opt/cni/bin' else '/opt/cni/bin/*' for b in binaries)} >/dev/null\n"
        f"stat {' '.join(map(shlex.quote, files))} >/dev/null || true\n"  # some have to be absent
        f"for f in {' '.join(map(shlex.quote, files))}; do if [ -f $f ]; then sha256sum $f; fi; done >/dev/null\n"
        f"sysctl -n {' '.join(names)} >/dev/null\ndpkg-query -W >/dev/null\n"
        "systemctl show containerd kubelet bird >/dev/null\n"
    )


def _download(item: dict[str, Any]) -> list[str]:
    target = "/tmp/cni.tar" if item["unpack"] else item["dest"]
    lines = [
        f"curl -sf -o {target} {item['url']}",
        f"echo '{item['desired']['sha256']}  {target}' | sha256sum -c >/dev/null",
    ]
    return [*lines, f"tar -xf {target} -C {item['dest']}"] if item["unpack"] else [*lines, f"chmod 0755 {target}"]


_LINES: dict[str, Callable[[dict[str, Any]], list[str]]] = {"downloads": _download}


def _units(sections: dict[str, Any]) -> Iterator[str]:
    for name, section in sections.items():
        for item in section["items"] if name.endswith(".units") else []:
            now = "" if item.get("state") == "any" else "--now"
            yield f"systemctl -q enable {now} {item['name']}"


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    start = time.monotonic()
    result = act()
    return time.monotonic() - start, result


def finished(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait for all; each must have succeeded."""
    codes = [p.wait() for p in processes]
    assert not any(codes), codes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=4)
    hosts = parser.parse_args().hosts
    with tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory:
        lab = Lab(Path(directory), hosts)
        lab.bmk("validate", "--write", str(lab.file))
        with lab.up():
            fresh, first = timed(lab.converge)
            again, second = timed(lab.converge)
            sections = {h: json.loads(lab.read(h, "cat /etc/bmk/manifest.json"))["sections"] for h in lab.names}
            archives = {h: lab.read(h, _tar(sections[h])) for h in lab.names}
            raw_second, _ = timed(lambda: finished(lab.ssh_all(lambda h: raw_again(sections[h]))))
        with lab.up():
            raw_first, _ = timed(lambda: finished(lab.ssh_all(lambda h: raw_fresh(sections[h], archives[h]))))
    print(f"{hosts} hosts at once, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}\n")
    print("| converge | module calls per host | seconds | raw parallel ssh, seconds | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for name, result, ours, raw in (("fresh", first, fresh, raw_first), ("repeated", second, again, raw_second)):
        calls = max(r["calls"] for r in result.values())
        print(f"| {name} | {calls} | {ours:.1f} | {raw:.1f} | {ours / raw:.1f} |")


def _tar(sections: dict[str, Any]) -> str:
    """A script that packs the configuration of a host, so that raw ssh has the same bytes to write."""
    files = [i["path"] for n, s in sections.items() if n.endswith(".files") for i in s["items"]]
    return f"tar -czf - --no-recursion {' '.join(map(shlex.quote, files))} /opt/cni/bin 2>/dev/null | base64\n"


if __name__ == "__main__":
    main()
