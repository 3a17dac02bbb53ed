"""`bmk artifacts`: build, fetch, check, list and carry what a data center serves."""

from __future__ import annotations

from pathlib import Path

import click

from bmk.cli.options import dc_argument, output_option
from bmk.cli.output import dump, emit, say

LOCK = click.option(
    "--lock", "lock_file", type=click.Path(path_type=Path), help="Lock file; by default the one that bmk ships."
)


@click.group(name="artifacts")
def command() -> None:
    """Build, sync, verify or list what a data center serves (docs/artifacts.md)."""


@command.command(short_help="Build everything here.")
@LOCK
@click.option("--relock", is_flag=True, help="Accept other digests and write them to the lock; review its diff.")
@click.option("--kubernetes", "version", metavar="VERSION", help="Also this further version, of the lock's releases.")
def build(lock_file: Path | None, relock: bool, version: str | None) -> None:
    """Build everything here from Go modules and Debian packages. A second run does nothing.

    A further version of Kubernetes is built where --kubernetes or a data center's file asks for it, and kept beside.
    """
    from bmk.artifacts.build import bring_up
    from bmk.artifacts.lock import DEFAULT_LOCK, load_lock
    from bmk.artifacts.relock import relock as write_digests
    from bmk.artifacts.sources import GoModules

    lock = load_lock(lock_file)
    _say_other_lock(lock_file)
    released = lock.at(version) if version is not None else lock
    mirror = bring_up(lock, [GoModules("Go modules", lock, say)], say, relock=relock and released is lock)
    if version is not None and released is not lock:
        sources = [GoModules("Go modules", released, say)]
        mirror = bring_up(released, sources, say, relock=relock, release=version)
    if relock:
        changed = write_digests(lock_file or DEFAULT_LOCK, mirror)
        say(f"{lock_file or DEFAULT_LOCK}: {', '.join(changed) or 'no digest'} changed")
    say(f"{mirror.root}: {len(mirror.files)} files, {len(mirror.images)} images")


@command.command(short_help="Fetch what the lock names from upstream, directories or bundles.")
@LOCK
@click.option(
    "--from", "places", type=click.Path(path_type=Path), multiple=True, help="Directory or bundle; several times."
)
@click.option("--sha256", help="Digest that `bmk artifacts bundle` printed; other bundles are refused.")
@click.option(
    "--upstream/--no-upstream", default=True, help="Ask upstream's releases, where the lock has their digest."
)
@click.option("--build/--no-build", "building", default=True, help="Build what no other source has.")
def sync(lock_file: Path | None, places: tuple[Path, ...], sha256: str | None, upstream: bool, building: bool) -> None:
    """Fetch what the lock names: upstream's releases, then directories or bundles, then Go modules."""
    from contextlib import ExitStack

    from bmk.artifacts import sources
    from bmk.artifacts.build import bring_up
    from bmk.artifacts.bundle import opened
    from bmk.artifacts.lock import load_lock

    lock = load_lock(lock_file)
    _say_other_lock(lock_file)
    with ExitStack() as stack:
        chain: list[sources.ArtifactSource] = (
            [sources.UpstreamReleases("upstream releases", lock, say)] if upstream else []
        )
        for place in places:
            chain.append(sources.Directory(str(place), *stack.enter_context(opened(place, sha256))))
        chain += [sources.GoModules("Go modules", lock, say)] if building else []
        mirror = bring_up(lock, chain, say)
    say(f"{mirror.root}: {len(mirror.files)} files, {len(mirror.images)} images")


@command.command(short_help="Hash every file and image of the mirror.")
@LOCK
def verify(lock_file: Path | None) -> None:
    """Hash every file and image of the mirror; name each one that is not what was recorded, or not there."""
    import time

    from bmk.artifacts.mirror import load_mirror, open_mirror
    from bmk.artifacts.work import alone
    from bmk.errors import DigestMismatch

    started, problems = time.monotonic(), []
    with alone(say):
        mirror = open_mirror()
        every = [mirror, *mirror.releases()]
        for one in every:
            for artifact, problem in one.verify():
                if problem is not None:
                    problems.append(problem)
                    one.distrust(artifact)
                    say(str(problem))
    if problems:
        names = ", ".join(str(problem.what) for problem in problems)
        raise DigestMismatch(f"{len(problems)} damaged: {names}", where=str(mirror.root), hint="bmk artifacts build")
    load_mirror(lock_file)
    sizes = [artifact.size for one in every for artifact in one.own]
    seconds = time.monotonic() - started
    say(f"{mirror.root}: {len(sizes)} checked, {sum(sizes) / 1e6:.0f} MB in {seconds:.1f} s, all as recorded")


@command.command(name="list")
@output_option()
def list_(output: str) -> None:
    """List the mirror's files and images with version and digest."""
    from bmk.artifacts.mirror import FileArtifact, ImageArtifact, open_mirror

    def file(f: FileArtifact) -> dict[str, str]:
        where = {"sha256": f.sha256, "source": f.source, "path": f.path}
        return {"name": f.name, "kind": "file", "version": f.version, "mb": f"{f.size / 1e6:.1f}", **where}

    def image(i: ImageArtifact) -> dict[str, str]:
        where = {"sha256": i.digest[7:], "source": "", "path": f"{i.name}:{i.tag}"}
        return {"name": i.name, "kind": "image", "version": i.tag, "mb": f"{i.size / 1e6:.1f}", **where}

    base = open_mirror()
    every = [artifact for one in (base, *base.releases()) for artifact in one.own]
    rows = [file(one) if isinstance(one, FileArtifact) else image(one) for one in every]
    emit(rows, output, ["name", "kind", "version", "mb"], ["sha256", "source", "path"])


@command.command(short_help="Remove a further version of Kubernetes.")
@click.argument("versions", metavar="VERSION...", nargs=-1, required=True)
def prune(versions: tuple[str, ...]) -> None:
    """Remove further versions of Kubernetes from the mirror. The next build of one makes it again.

    Clusters that still run it cannot get a new host before that.
    """
    from bmk.artifacts.mirror import open_mirror
    from bmk.artifacts.work import alone
    from bmk.errors import ConfigError

    with alone(say):
        known = {one.release: one for one in open_mirror().releases()}
        if strange := [version for version in versions if version not in known]:
            has = ", ".join(known) or "none"
            what = f"the mirror has no further version {', '.join(strange)}"
            raise ConfigError(what, why=f"it has {has}; its own goes with the lock", hint="bmk artifacts list")
        for version in versions:
            known[version].record.unlink()
        say(f"{len(open_mirror().prune(before=float('inf')))} files removed")


@command.command(short_help="Write everything to one tar for another site.")
@LOCK
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def bundle(lock_file: Path | None, target: Path) -> None:
    """Write everything to one tar, for `bmk artifacts sync --from TAR` elsewhere. Prints its digest on stdout."""
    from bmk.artifacts.bundle import write_bundle
    from bmk.artifacts.lock import DEFAULT_LOCK
    from bmk.artifacts.mirror import load_mirror

    digest = write_bundle(load_mirror(lock_file), lock_file or DEFAULT_LOCK, target)
    say(f"{target}: {target.stat().st_size / 1e6:.0f} MB; over there:")
    say(f"  bmk artifacts sync --from {target.name} --sha256 {digest}")
    click.echo(digest)


@command.command(short_help="Print what a data center serves and what that is made of (CycloneDX).")
@dc_argument
def sbom(dc: str) -> None:
    """Print the software bill of materials of what DC serves, as CycloneDX 1.6 (JSON).

    Files and images with digests, the Go modules of each program with their sums, Debian packages with versions.
    """
    from bmk.artifacts.lock import load_lock
    from bmk.artifacts.mirror import load_mirror
    from bmk.artifacts.sbom import sbom as bill
    from bmk.datacenter.load import load_datacenter
    from bmk.datacenter.source import lock_path

    loaded = load_datacenter(dc)
    lock = lock_path(loaded.source, loaded.spec.artifacts)
    dump(bill(loaded.name, load_lock(lock), load_mirror(lock)), "json")


def _say_other_lock(lock_file: Path | None) -> None:
    from bmk.artifacts.other_lock import other_lock

    for line in other_lock(lock_file):
        say(line)
