"""Image writes of the install agent against `curl | zstd -d | dd`, in one virtual machine, from one run.

`python bench/image_write.py [--kvm]` boots the install ramdisk with a benchmark instead of the agent, writes the node
image alternately both ways onto the same disk, and prints MB/s of raw bytes with the ratio. The agent also hashes what
it gets and reads back what it wrote; the write and the read-back are told apart. Aim: 90 % of the plain pipe.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bmk.artifacts.mirror import open_mirror  # noqa: E402
from bmk.artifacts.node.cpio import File, write_cpio  # noqa: E402
from bmk.artifacts.node.tree import tools_tree  # noqa: E402
from bmk.artifacts.ramdisk import _programs  # noqa: E402
from bmk.paths import cache_dir  # noqa: E402
from tests.services.agent.boot_server import BootServer, spec_for  # noqa: E402

INIT = """\
#!/bin/busybox sh
sed -e 's#^python3 .*#python3 -S -E /bench.py; echo o > /proc/sysrq-trigger#' /init.agent > /init.bench
exec /bin/busybox sh /init.bench
"""
INSIDE = """\
import json, os, subprocess, sys, time
sys.path.insert(0, "/usr/lib/bmk/agent.pyz")
from pathlib import Path
from bmk.agent.model import Disk, ImageSource
from bmk.agent.stream import write_image
image = json.loads(Path("/bench.json").read_text())
disk = Disk("vda", "/dev/vda", int(Path("/sys/block/vda/size").read_text()) * 512)
def say(**said):
    Path("/dev/ttyS0").write_text("BENCH " + json.dumps(said) + "\\r\\n")
def pipe():
    line = "curl -sf %s | zstd -dc | dd of=/dev/vda bs=1M conv=fsync 2> /dev/null" % image["url"]
    started = time.monotonic()
    subprocess.run(["sh", "-c", line], check=True)
    say(way="pipe", seconds=round(time.monotonic() - started, 2))
def agent():
    proof = write_image(disk, ImageSource(image["url"], image["sha256"], image["size"]), lambda told: None)
    say(way="agent", seconds=proof.seconds["write"], readback=proof.seconds["readback"], bytes=proof.size)
for turn in range(image["rounds"]):
    for way in (pipe, agent) if turn % 2 == 0 else (agent, pipe):
        Path("/proc/sys/vm/drop_caches").write_text("3")
        way()
"""


def main() -> None:
    """Run and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvm", action="store_true", help="use hardware virtualisation")
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    mirror = open_mirror()
    files = {name: mirror.file(name).local for name in ("node-image", "install-kernel", "install-initrd")}
    server = BootServer(files["node-image"], {})
    spec = spec_for(files["node-image"], server.url("10.0.2.2"))["image"]
    with tempfile.TemporaryDirectory(prefix="bmk-bench-") as place:
        initrd = Path(place, "initrd")
        initrd.write_bytes(files["install-initrd"].read_bytes() + extra({**spec, "rounds": chosen.rounds}))
        report(run(Path(place), files["install-kernel"], initrd, kvm=chosen.kvm))
    server.close()


def extra(spec: dict[str, object]) -> bytes:
    """A second archive over the ramdisk: curl with its libraries, and the benchmark in the place of the agent."""
    tools = tools_tree(cache_dir() / "build" / "debian")
    programs = {name: file for name, file in _programs(tools, ["usr/bin/curl"], []) if file.link is None}
    own = (ROOT / "bmk/artifacts/node/ramdisk/init").read_bytes()
    files = {"init": File(INIT.encode(), 0o755), "init.agent": File(own, 0o755), "bench.py": File(INSIDE.encode())}
    out = io.BytesIO()
    write_cpio(out, {**programs, **files, "bench.json": File(json.dumps(spec).encode())})
    return out.getvalue()


def run(place: Path, kernel: Path, initrd: Path, *, kvm: bool) -> list[dict[str, float | str]]:
    """The machine's own figures."""
    disk = place / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(4 << 30)
    accelerator = ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    command = ["qemu-system-x86_64", "-machine", "q35", *accelerator, "-smp", "2", "-m", "2048", "-display", "none"]
    command += ["-no-reboot", "-serial", "stdio", "-nic", "user,model=virtio-net-pci", "-kernel", str(kernel)]
    command += ["-drive", f"file={disk},format=raw,if=virtio,cache=none", "-initrd", str(initrd)]
    figures = []
    with subprocess.Popen(
        [*command, "-append", "console=ttyS0,115200"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as vm:
        for line in vm.stdout or []:
            if b"BENCH " in line:
                figures.append(json.loads(line.decode(errors="replace").partition("BENCH ")[2]))
                print(f"  {figures[-1]}", file=sys.stderr)
    return figures


def report(figures: list[dict[str, float | str]]) -> None:
    """Best of each way, and their ratio."""
    size = max(float(one.get("bytes", 0)) for one in figures) / 1e6
    best = {way: min(float(one["seconds"]) for one in figures if one["way"] == way) for way in ("pipe", "agent")}
    back = min(float(one["readback"]) for one in figures if "readback" in one)
    print(f"image of {size:.0f} MB raw, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| way | seconds | MB/s | of the pipe |\n| --- | --- | --- | --- |")
    for way, said in (("pipe", "curl, zstd -d, dd conv=fsync"), ("agent", "agent: fetch, hash, zstd -d, disk, fsync")):
        print(f"| {said} | {best[way]:.1f} | {size / best[way]:.0f} | {100 * best['pipe'] / best[way]:.0f} % |")
    print(f"| agent's read-back and hash, after it | {back:.1f} | {size / back:.0f} | |")


if __name__ == "__main__":
    main()
