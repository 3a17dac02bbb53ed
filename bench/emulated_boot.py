"""What an emulated machine's restart costs against its first start, by how much QEMU keeps of translated code.

    python bench/emulated_boot.py [--keep 64,0]

Starts the box of the node image (`bmk image build --format vagrant`) and resets it when it says its ssh host key, in
the same QEMU: CPU seconds of QEMU from reset to host key. 0 is QEMU's own choice (an eighth of the memory, at most
1 GiB).
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bmk.artifacts.box import KEY_MARK, make_box
from bmk.artifacts.mirror import load_mirror

STARTS = 2


@contextlib.contextmanager
def machine(disk: Path, keep: int) -> Iterator[subprocess.Popen[bytes]]:
    """One with two CPUs and no network; its disk stays as it is, its console is a file, its monitor is stdin."""
    console = disk.with_name(f"console-{keep}")
    accelerator = "tcg,thread=multi" + (f",tb-size={keep}" if keep else "")
    argv = ["qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", "1536", "-display", "none"]
    argv += ["-vga", "none", "-nic", "none", "-serial", f"file:{console}", "-monitor", "stdio"]
    argv += ["-drive", f"file={disk},format=qcow2,if=virtio,snapshot=on,cache=unsafe"]
    console.touch()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def cpu_seconds(pid: int) -> float:
    """Of all its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


def starts(disk: Path, keep: int) -> list[float]:
    """CPU seconds of the first start and of those after a reset."""
    spent = []
    with machine(disk, keep) as process:
        console = disk.with_name(f"console-{keep}")
        for number in range(1, STARTS + 1):
            before = sum(spent)
            while console.read_bytes().count(KEY_MARK.encode()) < number:
                if process.poll() is not None:
                    raise SystemExit("QEMU ended")
                time.sleep(0.2)
            spent.append(cpu_seconds(process.pid) - before)
            assert process.stdin is not None
            process.stdin.write(b"system_reset\n")
            process.stdin.flush()
    return spent


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", default="64,0", help="MiB, one after the other")
    sizes = [int(word) for word in parser.parse_args().keep.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="bmk-bench-") as directory,
        tarfile.open(make_box(load_mirror(), print).file) as box,
    ):
        box.extract("box.img", directory)
        for keep in sizes:
            first, again = starts(Path(directory) / "box.img", keep)
            print(f"{keep or 'all'} MiB: first start {first:.0f} CPU s, again {again:.0f} CPU s, {again / first:.2f}x")


if __name__ == "__main__":
    main()
