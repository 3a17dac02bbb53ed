"""Where files come from, in order: upstream's releases, a directory or bundle, Go modules.

No source is trusted: each file is hashed and compared with the lock, and refused when it matches no pin; the error
names the file, what was expected and what was seen.
"""

from __future__ import annotations

import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bmk.artifacts import gomodules
from bmk.artifacts.content import sha256_file
from bmk.artifacts.lock import Lock, Product, Upstream
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror
from bmk.artifacts.pins import pin_of, upstream_inputs
from bmk.artifacts.registry import Registry
from bmk.errors import BmkError, DigestMismatch, Unreachable

Say = Callable[[str], None]
TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that a source gives. `inputs` stands for what it was made of (see `pins.accepts`)."""

    local: Path
    inputs: str
    source: str


@dataclass
class ArtifactSource:
    """Gives files of one product, and images; what it does not have is left out."""

    title: str

    def needs(self, _product: Product) -> tuple[str, ...] | None:
        """Tools that this source needs for the product; None: it has no such product."""
        return ()

    def offer(self, product: str, files: list[str], work: Path) -> Mapping[str, Offer]:
        """Files by name. Raises BmkError for a file that it should have and cannot provide."""
        raise NotImplementedError

    def file(self, _name: str) -> FileArtifact | None:
        """A finished file, with its inputs."""
        return None

    def image(self, _name: str) -> tuple[ImageArtifact | None, Registry | None]:
        """A finished image, and the storage that has it."""
        return None, None


@dataclass
class UpstreamReleases(ArtifactSource):
    """Releases as their projects publish them; only those whose digest the lock pins are ever fetched."""

    lock: Lock
    say: Say

    def needs(self, product: Product) -> tuple[str, ...] | None:
        pins = [pin.upstream for pin in product.outputs().values()]
        return () if all(upstream is not None and upstream.sha256 for upstream in pins) else None

    def offer(self, _product: str, files: list[str], work: Path) -> Mapping[str, Offer]:
        offers = {}
        for file in files:
            _, locked, pin = pin_of(self.lock, file)
            if pin.upstream is None or pin.upstream.sha256 is None:
                continue
            release = self._fetch(pin.upstream, locked.version, work)
            suffix = "".join(Path(pin.upstream.url).suffixes[-1:]) if locked.archive else ""
            local = _member(release, pin.upstream.member, locked.version, work / f"{file}{suffix}")
            offers[file] = Offer(local, upstream_inputs(pin.upstream), f"upstream {file}")
        return offers

    def _fetch(self, upstream: Upstream, version: str, work: Path) -> Path:
        url = filled(upstream.url, version)
        target = work / f"release-{upstream.sha256}"
        if not target.is_file():
            self.say(f"  fetching {url}")
            fetch(url, target)
        seen = sha256_file(target)
        if seen != upstream.sha256:
            raise DigestMismatch(
                "a release is not what the lock names",
                where=url,
                why=f"expected sha256 {upstream.sha256}, seen {seen}",
                hint="do not use it; compare with the digest that the project publishes",
            )
        return target


@dataclass
class Directory(ArtifactSource):
    """A mirror made elsewhere (`bmk artifacts bundle`, unpacked), or plain files named as in the lock."""

    root: Path
    mirror: Mirror | None

    def file(self, name: str) -> FileArtifact | None:
        return self.mirror.files.get(name) if self.mirror else None

    def image(self, name: str) -> tuple[ImageArtifact | None, Registry | None]:
        return (self.mirror.images.get(name), self.mirror.registry) if self.mirror else (None, None)

    def offer(self, _product: str, files: list[str], work: Path) -> Mapping[str, Offer]:
        offers = {file: self._find(file, work) for file in files}
        return {file: offer for file, offer in offers.items() if offer is not None}

    def _find(self, file: str, work: Path) -> Offer | None:
        if self.mirror is not None:
            known = self.mirror.files.get(file)
            return (
                Offer(_copy(known.check().local, work), known.inputs, f"{self.title} ({known.source})")
                if known
                else None
            )
        names = (file, f"{file}.tar", f"{file}.tgz")
        plain = next((self.root / name for name in names if (self.root / name).is_file()), None)
        return Offer(_copy(plain, work), "", str(plain)) if plain else None


@dataclass
class GoModules(ArtifactSource):
    """Built here, from modules that go.sum pins."""

    lock: Lock
    say: Say

    def needs(self, product: Product) -> tuple[str, ...] | None:
        return ("go", "gcc") if product.cgo else ("go",)

    def offer(self, product: str, files: list[str], work: Path) -> Mapping[str, Offer]:
        locked = self.lock.products[product]
        inputs = gomodules.inputs(product, locked, self.lock.go)
        built = gomodules.build(product, locked, self.lock.go, work, self.say)
        return {file: Offer(path, inputs, "go-modules") for file, path in built.items() if file in files}


def filled(template: str, version: str) -> str:
    """A URL or member with `{version}` (v1.2.3) and `{number}` (1.2.3) filled in."""
    return template.format(version=version, number=version.removeprefix("v"))


def fetch(url: str, target: Path) -> None:
    """Download to a file; https only. Raises Unreachable with the reason."""
    if not url.startswith("https://"):
        raise BmkError("only https URLs are fetched", where=url, hint="correct `upstream.url` in the lock")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, target.open("wb") as out:  # noqa: S310 - https, above
            shutil.copyfileobj(answer, out, 1 << 20)
    except (urllib.error.URLError, OSError) as error:
        target.unlink(missing_ok=True)
        raise Unreachable(
            "cannot fetch a release",
            where=url,
            why=str(getattr(error, "reason", error)),
            hint="bmk artifacts sync --from DIR|BUNDLE, or build: bmk artifacts build",
        ) from error


def _copy(source: Path, work: Path) -> Path:
    """Copy before hashing: the owner of the source may change its file in between."""
    return Path(shutil.copyfile(source, work / source.name))


def _member(release: Path, member: str, version: str, target: Path) -> Path:
    if not member:
        shutil.copyfile(release, target)
        return target
    with tarfile.open(release) as tar:
        stream = tar.extractfile(filled(member, version))
        if stream is None:
            raise BmkError(
                f"the release has no file {member}", where=str(release), hint="correct `upstream.member` in the lock"
            )
        with target.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    return target
