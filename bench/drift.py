"""`bmk drift` over simulated hosts against a raw parallel ssh fan-out that runs one sha256sum on each, in one run.

    sudo python bench/drift.py [--hosts 50,500] [--compare 5000] [--check 10]

A simulated host is an sshd with an address, a key and directories of its own, in namespaces of this machine, which so
does the work of all hosts too. Raw: `xargs -P 64 ssh HOST sha256sum FILE`, as fast as OpenSSH can ask. Ours: the
command as a user types it, from its start to its table: all facts, comparison, history, journal. Memory is the largest
of the command and of its asking processes. `--compare`: comparison alone, on the facts of one host, mutated. `--check`:
so many system containers, set up by the roles, and asked by `ansible-playbook --check` with the same roles and by drift
(needs `bmk artifacts build`; 0: none).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import converge  # noqa: E402
from tests.services.drift import conftest as office  # noqa: E402
from tests.services.drift import hall  # noqa: E402

PARALLEL = 64


def data_center(hosts: int) -> str:
    """One cluster of that many hosts."""
    lines = "\n".join(
        f"        - {{name: n{n}, profile: bare, serial: S{n}, address: {hall.address(n)}, disk: {{serial: D{n}}},\n"
        f'           nics: [{{mac: "52:54:00:77:{n >> 8:02x}:{n & 255:02x}"}}],\n'
        f"           bmc: {{address: 10.78.{n // 250}.{n % 250 + 1}}}}}"
        for n in range(1, hosts + 1)
    )
    workers = ", ".join(f"n{n}" for n in range(2, hosts + 1))
    return office.FILE.format(firmware=office.FIRMWARE, hosts=lines, workers=workers, expected="").replace(
        "10.79.0.0/16", "10.96.0.0/12"
    )


def measured(argv: list[str], env: dict[str, str], code: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """Seconds, and the largest process in MB."""
    began = time.monotonic()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in code:
        raise SystemExit(f"{argv[:6]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def fleet(at: Path, hosts: int) -> dict[str, Any]:
    """Both on the same hosts, one after the other."""
    running = office.Running(at, hosts)
    running.nics = False
    with running as process:
        inside = ["nsenter", "--target", str(process.pid), "--net", "--"]
        env = {**os.environ, "BMK_STATE_DIR": str(at / "state"), "NO_COLOR": "1"}
        file = at / "dc.yml"
        file.write_text(data_center(hosts))
        bmk = [*inside, sys.executable, "-m", "bmk"]
        measured([*bmk, "validate", "--write", str(file)], env)
        drive = ROOT / "tests/services/drift/drive.py"
        ask = [*inside, sys.executable, str(drive), str(file)]
        signed, _ = measured([*ask, "sign", "{}"], env)
        time.sleep(2)
        known = at / "state/office/known_hosts"
        key = at / "state/office/ssh/id_ed25519"
        ssh = f"ssh -i {key} -o UserKnownHostsFile={known} -o BatchMode=yes -o IdentitiesOnly=yes"
        names = "\\n".join(hall.address(n) for n in range(1, hosts + 1))
        one = f"{ssh} root@% sha256sum /usr/local/bin/kubelet"
        fan = f"test $(printf '{names}\\n' | xargs -P {PARALLEL} -I % {one} | wc -l) = {hosts}"
        raw = min(measured([*inside, "sh", "-ec", fan], env)[0] for _ in range(2))
        command = [*bmk, "drift", str(file), "--no-bmc", "--parallel", str(PARALLEL), "-o", "prom"]
        runs = [measured(command, env, (4,)) for _ in range(2)]
    return {"hosts": hosts, "raw": raw, "drift": min(r[0] for r in runs), "mb": runs[-1][1], "sign": signed}


def against_ansible(at: Path, hosts: int) -> tuple[float, float]:
    """Seconds of drift and of Ansible in check mode, on hosts that the same roles have just set up."""
    lab = converge.Lab(at, hosts)
    lab.bmk("validate", "--write", str(lab.file))
    with lab.up():
        lab.converge()
        pid = json.loads((lab.state / "roles/lab/supervisor.json").read_text())["pid"]
        inside = ["nsenter", "--target", str(pid), "--net", "--", sys.executable]
        env = {**lab.environment, "NO_COLOR": "1"}
        ask = [*inside, str(ROOT / "tests/services/drift/drive.py"), str(lab.file)]
        measured([*ask, "sign", "{}"], env)
        command = [*inside, "-m", "bmk", "drift", str(lab.file), "--no-bmc", "--parallel", str(PARALLEL), "-o", "prom"]
        return min(measured(command, env, (4,))[0] for _ in range(2)), _checked([*ask, "check", "{}"], env)


def _checked(argv: list[str], env: dict[str, str]) -> float:
    """Seconds of Ansible alone, as it says them; each host has to be fine."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["bad"]:
        raise SystemExit(f"ansible --check: {answer['bad']}")
    return float(answer["seconds"])


def comparison(hosts: int) -> float:
    """Seconds for comparing that many hosts of facts, one in ten of which has a difference."""
    from bmk.drift.compare import compare
    from bmk.drift.model import Desired

    files = {f"/etc/x/{n}": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "sha256": "a" * 64}
             for n in range(150)}  # fmt: skip
    packages = {f"package-{n}": {"installed": True, "version": "1.2-3", "held": False} for n in range(350)}
    settings = {f"net.x.{n}": {"value": "1"} for n in range(40)}
    facts = {"files": files, "packages": packages, "sysctls": settings}
    desired = Desired(facts, owned=tuple(f"files:/etc/{c}/*" for c in "abcdefgh"))
    began = time.monotonic()
    for number in range(hosts):
        there = {**facts, "sysctls": {**settings, "net.x.1": {"value": "2"}}} if number % 10 == 0 else facts
        if len(compare(desired, there)) != (number % 10 == 0):
            raise SystemExit("the comparison is wrong")
    return time.monotonic() - began


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="50,500")
    parser.add_argument("--compare", type=int, default=5000)
    parser.add_argument("--check", type=int, default=10)
    asked = parser.parse_args()
    print(f"comparison alone, {asked.compare} hosts of 540 items: {comparison(asked.compare):.2f} s")
    if asked.check:
        with tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory:
            ours, ansible = against_ansible(Path(directory), asked.check)
        print(
            f"{asked.check:>4} hosts: drift {ours:.1f} s, ansible --check of the same roles {ansible:.1f} s, "
            f"{ansible / ours:.0f}x"
        )
    for hosts in map(int, filter(None, asked.hosts.split(","))):
        with tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory:
            r = fleet(Path(directory), hosts)
        print(
            f"{r['hosts']:>4} hosts: drift {r['drift']:.1f} s, raw ssh {r['raw']:.1f} s, {r['drift'] / r['raw']:.2f}x; "
            f"{r['drift'] / hosts * 1000:.0f} ms a host, largest process {r['mb']:.0f} MB; signing {r['sign']:.1f} s"
        )


if __name__ == "__main__":
    main()
