"""Restarts machines whose QEMU crashed while they come up, and reports it. Seen with QEMU 10.0.2, whose emulation has a
race between processors ("iotlb_to_section: Assertion"). Vagrant would wait for such a machine until its time-out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

STARTS = 3  # restarts of all machines together: beyond it the crash is not a race
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
    """Within the context, a crashed domain is started again.

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
    """The last failed assertion in the C library's form; libvirt's own lines, such as the command line, are skipped."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line for line in reversed(lines) if line.startswith("qemu-system")), "it said nothing")
