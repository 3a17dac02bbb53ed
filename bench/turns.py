"""What longer turns of processes are worth on an emulated machine, which pays more for each change of process.

    python bench/turns.py [--rounds 3]

Starts the box of the node image (`bmk image build --format vagrant`), without network. A unit on it runs the same work
again and again, with the kernel's own turns and with those of the `Vagrantfile`, one after the other: eight programs
that only compute, on two processors. Seconds (the machine's own) and changes of process, from its console.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

from bmk.artifacts.box import make_box
from bmk.artifacts.mirror import load_mirror

MARK = "bmk-turns:"
LONG = "20000000 NO_WAKEUP_PREEMPTION"  # nanoseconds and feature of the scheduler; short: what the kernel begins with
SCRIPT = f"""\
cd /sys/kernel/debug/sched
own=$(cat base_slice_ns)
work() {{
  for i in 1 2 3 4 5 6 7 8; do awk 'BEGIN {{ for (i = 0; i < 1500000; i++) s += i }}' & done
  wait
}}
seen() {{ echo "$(cut -d' ' -f1 /proc/uptime) $(sed -n 's/^ctxt //p' /proc/stat)"; }}
look() {{ echo $2 > base_slice_ns; echo $3 > features; a=$(seen); work; echo "{MARK} $1 $a $(seen)" > /dev/ttyS0; }}
work
for round in $(seq ROUNDS); do look short $own WAKEUP_PREEMPTION; look long {LONG}; done
echo "{MARK} end" > /dev/ttyS0
"""
UNIT = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ImportCredential=turns
ExecStart=/bin/sh -c '. $CREDENTIALS_DIRECTORY/turns'
"""


def credential(name: str, text: str) -> list[str]:
    packed = base64.b64encode(text.encode()).decode()
    return ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={packed}"]


def command(disk: Path, console: Path, rounds: int) -> list[str]:
    """QEMU with two processors in one socket, as Vagrant's machines have them."""
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2,sockets=1", "-m", "1536"]
    argv += ["-display", "none", "-vga", "none", "-nic", "none", "-serial", f"file:{console}"]
    argv += ["-drive", f"file={disk},format=qcow2,if=virtio,snapshot=on,cache=unsafe"]
    argv += credential("turns", SCRIPT.replace("ROUNDS", str(rounds)))
    argv += credential("systemd.extra-unit.turns.service", UNIT)
    return argv + credential("systemd.unit-dropin.multi-user.target", "[Unit]\nWants=turns.service\n")


def said(disk: Path, rounds: int) -> list[list[str]]:
    """Words of each line that the unit wrote."""
    console = disk.with_name("console")
    console.touch()
    with subprocess.Popen(command(disk, console, rounds), stdin=subprocess.DEVNULL) as process:
        try:
            while f"{MARK} end" not in (text := console.read_text(errors="replace")):
                if process.poll() is not None:
                    raise SystemExit("QEMU ended")
                time.sleep(0.5)
        finally:
            process.kill()
    return [line.partition(MARK)[2].split() for line in text.splitlines() if MARK in line]


def main() -> None:
    """Print a line for each kind of turn, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory,
        tarfile.open(make_box(load_mirror(), print).file) as box,
    ):
        box.extract("box.img", directory)
        lines = said(Path(directory) / "box.img", rounds)
    spent = {}
    for kind in ("short", "long"):
        looks = [[float(word) for word in words[1:]] for words in lines if words[0] == kind]
        spent[kind] = median(after - before for before, _, after, _ in looks)
        changes = median(after - before for _, before, _, after in looks)
        print(f"{kind} turns: {spent[kind]:.1f} s, {changes:.0f} changes of process")
    print(f"long against short: {spent['short'] / spent['long']:.2f}x the speed")


if __name__ == "__main__":
    main()
