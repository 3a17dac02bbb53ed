"""Make what the lock names and the mirror lacks. Each step is skipped when its inputs and outputs are as recorded."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bmk.artifacts import gomodules, oci
from bmk.artifacts.content import place, sha256_file
from bmk.artifacts.lock import Lock, Product
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror, open_mirror
from bmk.errors import DigestMismatch, PreflightRefused
from bmk.paths import cache_dir

Say = Callable[[str], None]
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work: `done` is asked first; `run` makes its outputs in a directory of its own."""

    title: str
    done: Callable[[], bool]
    run: Callable[[Path], None]
    tools: tuple[str, ...]


def build(lock: Lock, say: Say, *, relock: bool = False) -> Mirror:
    """Bring the mirror up to the lock by building; resumable after a kill, cheap when nothing is to do.

    `relock`: accept digests other than the pinned ones (the caller writes them to the lock). Raises PreflightRefused
    before anything is made when a tool or disk space is missing, DigestMismatch when a build gives other bytes.
    """
    mirror = open_mirror()
    steps = [*_product_steps(lock, mirror, say, relock), *_image_steps(lock, mirror, relock)]
    with _alone(say):
        todo = [step for step in steps if not step.done()]
        if todo:
            preflight(todo)
            _work(todo, say)
    return mirror


def preflight(steps: list[Step], free: int = 12 * GIB) -> None:
    """Refuse, with the command that helps, when a tool or `free` bytes of disk are missing."""
    wanted = {tool for step in steps for tool in step.tools}
    missing = sorted(tool for tool in wanted if shutil.which(tool) is None)
    if missing:
        packages = " ".join(sorted({PACKAGES.get(tool, tool) for tool in missing}))
        raise PreflightRefused(
            f"{', '.join(missing)} not found on this machine",
            where="artifacts",
            hint=f"scripts/setup, or: apt-get install {packages}",
        )
    root = cache_dir()
    root.mkdir(parents=True, exist_ok=True)
    have = shutil.disk_usage(root).free
    if have < free:
        raise PreflightRefused(
            f"{have / GIB:.1f} GiB free, building needs up to {free / GIB:.0f}",
            where=str(root),
            hint="set BMK_CACHE_DIR to a larger disk",
        )


PACKAGES = {"go": "golang-go", "gcc": "build-essential"}


def _work(todo: list[Step], say: Say) -> None:
    scratch = cache_dir() / "build"
    scratch.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {step.title}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=scratch, prefix="step-") as work:
            step.run(Path(work))
        say(f"[{number}/{len(todo)}] {step.title}: done in {time.monotonic() - started:.1f} s")


@contextmanager
def _alone(say: Say) -> Iterator[None]:
    """One builder per cache at a time; a second one waits and finds the work done. Clears what a kill left."""
    scratch = cache_dir() / "build"
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another build is at work on this cache: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in scratch.glob("step-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _product_steps(lock: Lock, mirror: Mirror, say: Say, relock: bool) -> Iterator[Step]:
    for name, product in lock.products.items():
        yield _product_step(name, product, lock, mirror, (say, relock))


def _product_step(name: str, product: Product, lock: Lock, mirror: Mirror, how: tuple[Say, bool]) -> Step:
    say, relock = how
    inputs = gomodules.inputs(name, product, lock.go)

    def done() -> bool:
        return all(_current(mirror, file, inputs) for file in product.outputs())

    def run(work: Path) -> None:
        for file, path in gomodules.build(name, product, lock.go, work, say).items():
            pinned = None if relock else product.outputs()[file].sha256
            relative = f"{name}/{product.version}/{file}{path.suffix if file != path.name else ''}"
            store(mirror, FileArtifact(file, product.version, relative, "", 0, "go-modules", inputs, path), pinned)

    tools = ("go", "gcc") if product.cgo else ("go",)
    return Step(f"{name} {product.version} from Go modules ({', '.join(product.outputs())})", done, run, tools)


def _current(mirror: Mirror, file: str, inputs: str) -> bool:
    return file in mirror.files and mirror.files[file].inputs == inputs and mirror.untouched(file)


def store(mirror: Mirror, made: FileArtifact, pinned: str | None) -> None:
    """Move a finished file (`made.local`) into the mirror and record it. DigestMismatch when it is not the pinned one."""
    digest = sha256_file(made.local)
    if pinned is not None and digest != pinned:
        raise DigestMismatch(
            f"{made.name} {made.version} came out other than the lock says",
            where=made.source,
            why=f"expected sha256 {pinned}, seen {digest}",
            hint="is the Go version the lock's? after a change of versions: bmk artifacts build --relock",
        )
    target = mirror.root / "files" / made.path
    size = made.local.stat().st_size
    place(made.local, target)
    target.chmod(0o644 if target.suffix else 0o755)
    mirror.put(FileArtifact(made.name, made.version, made.path, digest, size, made.source, made.inputs, target))


def _image_steps(lock: Lock, mirror: Mirror, relock: bool) -> Iterator[Step]:
    for name in lock.images:
        yield _image_step(name, lock, mirror, relock)


def _image_step(name: str, lock: Lock, mirror: Mirror, relock: bool) -> Step:
    image = lock.images[name]

    def inputs() -> str:
        return oci.inputs(image, lock.debian, {file: mirror.files[file].sha256 for file in image.files.values()})

    def done() -> bool:
        if any(file not in mirror.files for file in image.files.values()):
            return False
        made = mirror.images.get(name)
        return made is not None and made.inputs == inputs() and mirror.registry.complete(name, image.tag, made.digest)

    def run(work: Path) -> None:
        files = {file: mirror.file(file).local for file in image.files.values()}
        contents = oci.contents(image, lock.debian, files, work)
        made = oci.make(name, image, contents, work, mirror.registry)
        _require_id(name, None if relock else image.id, made.id)
        mirror.put_image(ImageArtifact(name, image.tag, made.digest, made.id, made.size, inputs()))

    tools = ("zstd", "mmdebstrap") if image.debian else ("zstd",)
    return Step(f"image {name}:{image.tag}", done, run, tools)


def _require_id(name: str, pinned: str | None, seen: str) -> None:
    if pinned is not None and pinned != seen:
        raise DigestMismatch(
            f"image {name} came out other than the lock says",
            where="oci",
            why=f"expected id {pinned}, seen {seen}",
            hint="after a change of versions: bmk artifacts build --relock",
        )


def digests(mirror: Mirror) -> Mapping[str, str]:
    """sha256 of every file, by name."""
    return {name: artifact.sha256 for name, artifact in mirror.files.items()}
