"""Steps of making: asked whether they are done, run one by one in a directory of their own, alone on a cache."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bmk import programs
from bmk.errors import PreflightRefused
from bmk.paths import cache_dir

Say = Callable[[str], None]
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One unit of work: `done` is asked first; `run` makes its outputs, with a scratch directory that then goes."""

    title: str
    done: Callable[[], bool]
    run: Callable[[Path], None]
    tools: tuple[str, ...] = ()
    space: int = 0  # bytes of disk that it may take


def work_through(steps: Callable[[], Sequence[BuildStep]], say: Say) -> int:
    """Run what is not done, in order; returns how many steps ran. A second process on the same cache waits.

    `steps` is called once nobody else is at work, so that they see what an earlier process has finished. Tools
    and disk space of all that is to do are checked first. What was finished before a kill is not made again.
    """
    with alone(say):
        todo = [step for step in steps() if not step.done()]
        if todo:
            preflight([tool for step in todo for tool in step.tools], sum(step.space for step in todo))
        for number, step in enumerate(todo, 1):
            _run(step, f"[{number}/{len(todo)}] {step.title}", say)
        return len(todo)


def preflight(tools: Sequence[str], free: int) -> None:
    """Refuse, with the command that helps, when a tool or `free` bytes of disk are missing."""
    programs.require(tools)
    have = shutil.disk_usage(_made(cache_dir())).free
    if have < free:
        what = f"{have / GIB:.1f} GiB free on this disk, up to {free / GIB:.0f} are needed"
        raise PreflightRefused(what, where=str(cache_dir()), hint="make room, or set BMK_CACHE_DIR to a larger disk")


def killed_with_parent() -> list[str]:
    """What to put before a long command, so that it does not go on when bmk is killed."""
    setpriv = programs.find("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _run(step: BuildStep, title: str, say: Say) -> None:
    say(title)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=_made(cache_dir() / "build"), prefix="step-") as work:
        step.run(Path(work))
    say(f"{title}: {time.monotonic() - started:.1f} s")


@contextmanager
def alone(say: Say) -> Iterator[None]:
    """One process per cache at a time; a second one waits. Clears what a killed one left behind."""
    scratch = _made(cache_dir() / "build")
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another build is at work on this cache: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in scratch.glob("step-*"):  # of a killed run: nobody else is here
            shutil.rmtree(left, ignore_errors=True)
        for left in (cache_dir() / "mirror").rglob(".*.part"):
            left.unlink(missing_ok=True)
        yield


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
