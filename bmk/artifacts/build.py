"""Bring the mirror up to the lock. A step is skipped when what it makes is there, as recorded and as the lock wants."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bmk.artifacts import oci
from bmk.artifacts.content import place, sha256_file
from bmk.artifacts.lock import Lock, Product, load_lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror, open_mirror
from bmk.artifacts.other_lock import other_lock
from bmk.artifacts.pins import accepts, pin_of, pinned_id, relative_path
from bmk.artifacts.sources import ArtifactSource, GoModules, Offer, UpstreamReleases
from bmk.artifacts.systems import SYSTEMS
from bmk.artifacts.work import GIB, BuildStep, alone, work_through
from bmk.errors import BmkError, DigestMismatch, PreflightRefused
from bmk.paths import cache_dir

Say = Callable[[str], None]
DAY = 86_400.0  # seconds
PRODUCT_SPACE, SYSTEM_SPACE, IMAGE_SPACE = 3 * GIB // 2, 4 * GIB, GIB // 4  # bytes, with the caches of a first build


@dataclass(frozen=True)
class Job:
    """What every step needs. `relock`: accept other digests than the pinned ones, which the caller then pins."""

    lock: Lock
    mirror: Mirror
    sources: Sequence[ArtifactSource]
    say: Say
    relock: bool = False


def ensure_mirror(lock_path: Path | None, say: Say, versions: Collection[str] = ()) -> Mirror:
    """A complete mirror for a data center: what is missing is fetched where the lock vouches for it, and else built.

    `versions`: of Kubernetes, that its clusters want; those that are no release of the lock are passed over.
    Instant when nothing is to do; minutes the first time. Raises PreflightRefused before anything is made when this
    machine lacks a tool or disk space.
    """
    lock = load_lock(lock_path)
    _distrust_damaged_boot_files(lock, say)
    for line in other_lock(lock_path):
        say(line)
    mirror = bring_up(lock, _sources(lock, say), say)
    for version in [version for version in lock.releases if version in versions]:
        released = lock.at(version)
        bring_up(released, _sources(released, say), say, release=version)
    return mirror


def _sources(lock: Lock, say: Say) -> list[ArtifactSource]:
    return [UpstreamReleases("upstream releases", lock, say), GoModules("Go modules", lock, say)]


def _distrust_damaged_boot_files(lock: Lock, say: Say) -> None:
    """Firmware checks neither kernel nor ramdisk, so they are hashed here, before anything boots from them (60 MB)."""
    with alone(say):
        mirror = open_mirror()
        for artifact in (mirror.files[name] for name in lock.systems.get("install", ()) if name in mirror.files):
            try:
                artifact.check()
            except DigestMismatch as error:
                say(f"{error.what} ({error.where}): it is made again")
                mirror.distrust(artifact)


def bring_up(
    lock: Lock, sources: Sequence[ArtifactSource], say: Say, *, relock: bool = False, release: str = ""
) -> Mirror:
    """Make the mirror hold what `lock` names, asking `sources` in order. Resumable after a kill.

    `release`: the version of Kubernetes that `lock` is of (`Lock.at`), when that is not the lock's own.
    """
    if work_through(lambda: _steps(Job(lock, open_mirror(release=release), sources, say, relock)), say):
        open_mirror().prune(before=time.time() - DAY)
    return open_mirror(release=release)


def _steps(job: Job) -> list[BuildStep]:
    return [*_product_steps(job), *_system_steps(job), *_image_steps(job)]


def bring_up_systems(lock: Lock, say: Say, *, refresh: bool = False) -> Mirror:
    """Make only the operating systems: node image, root for containers, install ramdisk.

    `refresh`: also when nothing but Debian's archive has changed.
    """
    work_through(lambda: list(_system_steps(Job(lock, open_mirror(), [], say), refresh)), say)
    return open_mirror()


def _product_steps(job: Job) -> Iterator[BuildStep]:
    for name, product in job.lock.products.items():
        needs = (source.needs(product) for source in job.sources)
        tools = next((tools for tools in needs if tools is not None), ())
        yield BuildStep(
            f"{name} {product.version}: {', '.join(product.outputs())}",
            partial(_product_done, job, product),
            partial(_obtain, job, name, product),
            tools,
            PRODUCT_SPACE,
        )


def _product_done(job: Job, product: Product) -> bool:
    return not _missing(job, product)


def _missing(job: Job, product: Product) -> list[str]:
    files, mirror = product.outputs(), job.mirror
    return [f for f in files if not mirror.intact(f) or not (job.relock or accepts(job.lock, mirror.files[f]))]


def _obtain(job: Job, name: str, product: Product, work: Path) -> None:
    """Ask the sources in order for what is missing; the first file that the lock accepts is taken."""
    reasons = []
    for source in job.sources:
        if not (missing := _missing(job, product)):
            return
        try:
            offers = source.offer(name, missing, work)
        except BmkError as error:
            if source is job.sources[-1] or isinstance(error, DigestMismatch):
                raise
            reasons.append(f"{source.title}: {error.what}")
            job.say(f"  {source.title}: {error.what}; trying the next source")
            continue
        for file, offer in offers.items():
            store(job, file, offer)
    if missing := _missing(job, product):
        tried = "; ".join(reasons) or f"asked: {', '.join(s.title for s in job.sources)}"
        raise PreflightRefused(
            f"no source has {', '.join(missing)}",
            where=f"{name} {product.version}",
            why=tried,
            hint="bmk artifacts build",
        )


def store(job: Job, file: str, offer: Offer) -> None:
    """Hash an offered file, move it into the mirror and record it. DigestMismatch when the lock does not accept it."""
    name, product, pin = pin_of(job.lock, file)
    path = relative_path(name, product, file, offer.local)
    target, size = job.mirror.root / "files" / path, offer.local.stat().st_size
    found = FileArtifact(
        file, product.version, path, sha256_file(offer.local), size, offer.source, offer.inputs, target
    )
    if not job.relock and not accepts(job.lock, found):
        expected = f"sha256 {pin.sha256}" if pin.sha256 else "a build of the inputs that the lock pins"
        raise DigestMismatch(
            f"{file} {product.version} is not what the lock names",
            where=offer.source,
            why=f"expected {expected}, seen sha256 {found.sha256}",
            hint="after a change of versions or of Go: bmk artifacts build --relock; else do not use this source",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    place(offer.local, target)
    target.chmod(0o644 if product.archive and product.archive.name == file else 0o755)
    job.mirror.put(found)


def _system_steps(job: Job, refresh: bool = False) -> Iterator[BuildStep]:
    if refresh:
        shutil.rmtree(cache_dir() / "build/debian", ignore_errors=True)
    for name, files in job.lock.systems.items():
        yield BuildStep(
            f"{name} from Debian {job.lock.debian}: {', '.join(files)}",
            (lambda: False) if refresh else partial(_system_done, job, name),
            partial(_make_system, job, name),
            SYSTEMS[name].tools,
            SYSTEM_SPACE,
        )


def _system_done(job: Job, name: str) -> bool:
    inputs, files = SYSTEMS[name].inputs(job.lock.debian), job.lock.systems[name]
    return all(job.mirror.intact(file) and job.mirror.files[file].inputs == inputs for file in files)


def _make_system(job: Job, name: str, work: Path) -> None:
    system, suite = SYSTEMS[name], job.lock.debian
    inputs = system.inputs(suite)
    version, made = _offered_system(job, name, inputs, work) or system.make(
        work, suite, lambda text: job.say(f"  {text}")
    )
    for file in job.lock.systems[name]:
        path = made[file]
        target = job.mirror.root / "files" / name / version / f"{file}{''.join(path.suffixes)}"
        digest, size = sha256_file(path), path.stat().st_size
        place(path, target)
        target.chmod(0o644)
        relative = str(target.relative_to(job.mirror.root / "files"))
        job.mirror.put(FileArtifact(file, version, relative, digest, size, f"Debian {suite}", inputs, target))


def _offered_system(job: Job, name: str, inputs: str, work: Path) -> tuple[str, Mapping[str, Path]] | None:
    """The files of a bundle that were made of the same inputs; they go together or not at all."""
    for source in job.sources:
        known = [source.file(file) for file in job.lock.systems[name]]
        found = [artifact for artifact in known if artifact is not None and artifact.inputs == inputs]
        if len(found) == len(known):
            return found[0].version, {a.name: Path(shutil.copy(a.check().local, work)) for a in found}
    return None


def _image_steps(job: Job) -> Iterator[BuildStep]:
    for name, image in job.lock.images.items():
        yield BuildStep(
            f"image {name}:{image.tag}",
            partial(_image_done, job, name),
            partial(_make_image, job, name),
            ("zstd", "mmdebstrap") if image.debian else ("zstd",),
            IMAGE_SPACE,
        )


def _image_done(job: Job, name: str) -> bool:
    image, made = job.lock.images[name], job.mirror.images.get(name)
    if made is None or any(file not in job.mirror.files for file in image.files.values()):
        return False
    return made.inputs == _image_inputs(job, name) and job.mirror.registry.complete(name, image.tag, made.digest)


def _image_inputs(job: Job, name: str) -> str:
    image = job.lock.images[name]
    return oci.inputs(image, job.lock.debian, {file: job.mirror.file(file).sha256 for file in image.files.values()})


def _make_image(job: Job, name: str, work: Path) -> None:
    image, mirror = job.lock.images[name], job.mirror
    inputs = _image_inputs(job, name)
    for offered, registry in (source.image(name) for source in job.sources):
        if offered is not None and registry is not None and offered.inputs == inputs:
            mirror.registry.take(registry, f"{offered.name}:{offered.tag}", offered.digest)
            _record_image(job, offered)
            return
    files = {file: mirror.file(file).check().local for file in image.files.values()}
    made = oci.make(name, image, oci.contents(image, job.lock.debian, files, work), work, mirror.registry)
    _record_image(job, ImageArtifact(name, image.tag, made.digest, made.id, made.size, inputs))


def _record_image(job: Job, made: ImageArtifact) -> None:
    pinned = None if job.relock else pinned_id(job.lock, job.lock.images[made.name], job.mirror)
    if pinned is not None and pinned != made.id:
        raise DigestMismatch(
            f"image {made.name} is not what the lock names",
            where=f"{made.name}:{made.tag}",
            why=f"expected id {pinned}, seen {made.id}",
            hint="after a change of versions: bmk artifacts build --relock",
        )
    job.mirror.put_image(made)
