"""QEMU that ends by a fault of its own while machines come up: they are started again, and it is said.

Seen with 10.0.2, which emulates with a race between processors: "iotlb_to_section: Assertion". Vagrant would wait for a
machine that is no more until its patience ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

STARTS = 3  # again, of all machines together: what always crashes is no accident
_PAUSE = 5.0  # seconds between looks
_CRASHED = {"state.state=5", "state.reason=3"}  # libvirt's VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED


def crashed(stats: str) -> list[str]:
    """Domains that are off because their QEMU ended though nobody had told it to, of `virsh domstats --state`. Pure."""
    blocks = (block.split("\n  ") for block in stats.strip().split("\n\n"))
    return [first.removeprefix("Domain: ").strip("'") for first, *rest in blocks if set(rest) >= _CRASHED]


@contextmanager
def started_again(
    virsh: Sequence[str], logs: Path, say: Callable[[str], None], pause: float = _PAUSE
) -> Iterator[None]:
    """While it lasts, a crashed domain is started again.

    `virsh` is the command that reaches its libvirtd, `logs` has what each QEMU said; `pause` in seconds.
    """
    ended = Event()
    watch = Thread(target=_watch, args=(virsh, logs, say, lambda: ended.wait(pause)))
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(virsh: Sequence[str], logs: Path, say: Callable[[str], None], ended: Callable[[], bool]) -> None:
    left = STARTS
    while left and not ended():
        look = subprocess.run([*virsh, "domstats", "--state"], capture_output=True, text=True, check=False)
        for name in crashed(look.stdout)[:left]:
            left -= 1
            say(f"{name}: QEMU ended by itself ({_last_words(logs / f'{name}.log')}): started again, {left} times left")
            subprocess.run([*virsh, "start", name], stdout=subprocess.DEVNULL, check=False)


def _last_words(log: Path) -> str:
    """An assertion, as the C library says it: libvirt's lines, and the command line among them, begin otherwise."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line for line in reversed(lines) if line.startswith("qemu-system")), "it said nothing")
