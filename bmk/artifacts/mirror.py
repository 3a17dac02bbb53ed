"""The mirror: the files and images that a data center serves itself, and what each of them is.

`cache_dir()/mirror/files` is what nginx serves below /files/, `cache_dir()/registry` is docker-registry's storage, and
`cache_dir()/mirror/artifacts.resolved.yml` records what is really there: path, digest, size, source and the digest of
the inputs it came from. Plans, grants and downloads name the digests of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bmk.artifacts.content import fingerprint, replacing, require_digest, sha256_file
from bmk.artifacts.lock import FileName, ImageName, PackagePath, Sha256, Tag, load_lock
from bmk.artifacts.registry import Registry
from bmk.datacenter.scalars import Line
from bmk.document import inside, read_document, to_yaml
from bmk.errors import BmkError, ConfigError, PreflightRefused
from bmk.paths import cache_dir

_BUILD = "bmk artifacts build"
RECORD = "artifacts.resolved.yml"
_RELEASE = "artifacts.resolved."  # with the version of Kubernetes and .yml: the record of a release
_INPUTS = r"^([0-9a-f]{64}|damaged)?$"


class DeployerPorts(Protocol):
    """What of the data center's deployer a URL needs."""

    @property
    def address(self) -> Any: ...
    @property
    def http_port(self) -> int: ...
    @property
    def registry_port(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FileArtifact:
    """One file. `path` is relative to mirror/files, `local` the same on this machine; `size` in bytes."""

    name: str
    version: str
    path: str
    sha256: str
    size: int
    source: str
    inputs: str
    local: Path

    def check(self) -> FileArtifact:
        """Hash the file. Raises DigestMismatch naming file, expected and seen."""
        require_digest(
            self.local, self.sha256, name=f"file {self.name}", hint=f"{_BUILD} (it makes again what is damaged)"
        )
        return self


@dataclass(frozen=True, slots=True)
class ImageArtifact:
    """One image. `digest` of its manifest (`sha256:...`), `id` of its configuration (hex), `size` of its layers."""

    name: str
    tag: str
    digest: str
    id: str
    size: int
    inputs: str


@dataclass
class Mirror:
    """What is in the mirror, by name. `seen`: size and mtime of each file when it was last hashed.

    `release`: the version of Kubernetes that it is a view of; "": the lock's own. What a release has not otherwise is
    `shared` with that one, and recorded there only.
    """

    root: Path
    registry: Registry
    files: dict[str, FileArtifact] = field(default_factory=dict)
    images: dict[str, ImageArtifact] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)
    release: str = ""
    shared: dict[str, FileArtifact | ImageArtifact] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        return self.root / _record_of(self.release)

    @property
    def own(self) -> list[FileArtifact | ImageArtifact]:
        """Files and images that are recorded here."""
        return [a for a in self.all() if self.shared.get(_key(a)) != a]

    def all(self) -> list[FileArtifact | ImageArtifact]:
        return [*self.files.values(), *self.images.values()]

    def releases(self) -> list[Mirror]:
        """Views of every further version of Kubernetes that was built, by version."""
        found = sorted(path.name for path in self.root.glob(_record_of("*")))
        versions = [name.removeprefix(_RELEASE).removesuffix(".yml") for name in found]
        return [open_mirror(self.root, self.registry.root, version) for version in versions]

    def file(self, name: str) -> FileArtifact:
        """Raises PreflightRefused when the mirror has no such file."""
        if name not in self.files:
            raise PreflightRefused(f"the mirror has no file {name!r}", where=str(self.root), hint=_BUILD)
        return self.files[name]

    def image(self, name: str) -> ImageArtifact:
        """Raises PreflightRefused when the mirror has no such image."""
        if name not in self.images:
            raise PreflightRefused(f"the mirror has no image {name!r}", where=str(self.root), hint=_BUILD)
        return self.images[name]

    def as_vars(self, deployer: DeployerPorts) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """`bmk_artifacts` and `bmk_images` of the Ansible inventory. Images by digest: a tag can be moved."""
        port = "" if deployer.http_port == 80 else f":{deployer.http_port}"
        base = f"http://{deployer.address}{port}/files"
        files = {
            f.name: {"url": f"{base}/{f.path}", "sha256": f.sha256, "version": f.version, "size": f.size}
            for f in self.files.values()
        }
        registry = f"{deployer.address}:{deployer.registry_port}"
        return files, {i.name: f"{registry}/{i.name}@{i.digest}" for i in self.images.values()}

    def intact(self, name: str) -> bool:
        """Whether the file is there as it was recorded.

        Decided by size and time; where these differ, as in a copied cache, by the digest, once.
        """
        artifact = self.files.get(name)
        if artifact is None or not artifact.local.is_file():
            return False
        if self.seen.get(name) == fingerprint(artifact.local):
            return True
        if artifact.local.stat().st_size != artifact.size or sha256_file(artifact.local) != artifact.sha256:
            return False
        self.put(artifact)
        return True

    def verify(self) -> Iterator[tuple[FileArtifact | ImageArtifact, BmkError | None]]:
        """Hash all that is recorded here; yields each file and image with what is wrong with it."""
        for one in self.own:
            check = one.check if isinstance(one, FileArtifact) else partial(self._check_image, one)
            yield one, _problem(check)

    def distrust(self, artifact: FileArtifact | ImageArtifact) -> None:
        """Record a file or image as damaged, so that the next build makes it again."""
        if isinstance(artifact, FileArtifact):
            self.seen.pop(artifact.name, None)
        else:
            self.images[artifact.name] = replace(artifact, inputs="damaged")
        self.save()

    def _check_image(self, image: ImageArtifact) -> None:
        for _ in self.registry.verify(f"{image.name}:{image.tag}", image.digest):
            pass

    def prune(self, before: float) -> list[Path]:
        """Remove files and blobs that no record names any more and that were written before a time (epoch seconds).

        The time protects machines that are being installed with the files of an earlier mirror.
        """
        every = [self, *self.releases()]
        named = {a.local for one in every for a in one.files.values()}
        images = [image for one in every for image in one.images.values()]
        kept = {self.registry.blob(blob) for i in images for blob in self.registry.blobs_of(i.digest)}
        stored = [*(self.root / "files").rglob("*"), *self.registry.blobs()]
        old = [p for p in stored if p.is_file() and p not in named | kept and p.stat().st_mtime < before]
        for path in old:
            path.unlink()
        return old

    def put(self, artifact: FileArtifact) -> None:
        """Record a file that is in its place, and save."""
        self.files[artifact.name] = artifact
        self.seen[artifact.name] = fingerprint(artifact.local)
        self.save()

    def put_image(self, image: ImageArtifact) -> None:
        """Record an image that is in the registry, and save."""
        self.images[image.name] = image
        self.save()

    def save(self) -> None:
        """Write the record at once."""
        with replacing(self.record) as part:
            part.write_text(to_yaml(self.as_data()))

    def as_data(self) -> dict[str, Any]:
        """The resolved lock as plain data: what is recorded here."""
        own = self.own
        files = {
            a.name: {k: v for k, v in asdict(a).items() if k not in ("name", "local")}
            | {"seen": self.seen.get(a.name, [])}
            for a in own
            if isinstance(a, FileArtifact)
        }
        images = {
            i.name: {k: v for k, v in asdict(i).items() if k != "name"} for i in own if isinstance(i, ImageArtifact)
        }
        return {"apiVersion": "bmk.dev/v1", "kind": "ResolvedArtifacts", "files": files, "images": images}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Tag
    path: PackagePath
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    source: Line
    inputs: str = Field(pattern=_INPUTS)
    seen: tuple[int, ...] = ()


class _Image(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tag: Tag
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    id: Sha256
    size: Annotated[int, Field(ge=0)]
    inputs: str = Field(pattern=_INPUTS)


class _Record(BaseModel):
    """artifacts.resolved.yml. A bundle contains one, and its values become paths and URLs."""

    files: dict[FileName, _File] = {}
    images: dict[ImageName, _Image] = {}


def mirror_dir() -> Path:
    return cache_dir() / "mirror"


def registry_dir() -> Path:
    """What docker-registry's `storage.filesystem.rootdirectory` is set to."""
    return cache_dir() / "registry"


def open_mirror(root: Path | None = None, registry: Path | None = None, release: str = "") -> Mirror:
    """The mirror as it was last recorded; empty when nothing was built yet.

    `release`: a further version of Kubernetes, with all that it shares with the lock's own.
    """
    root = root or mirror_dir()
    mirror = Mirror(root, Registry(registry or registry_dir()), release=release)
    for name in dict.fromkeys((RECORD, _record_of(release))):
        mirror.shared = {_key(a): a for a in mirror.all()}
        if (root / name).is_file():
            _fill(mirror, read_document(root / name).value)
    return mirror


def _record_of(release: str) -> str:
    return f"{_RELEASE}{release}.yml" if release else RECORD


def _key(artifact: FileArtifact | ImageArtifact) -> str:
    return f"{'file' if isinstance(artifact, FileArtifact) else 'image'} {artifact.name}"


def release_vars(versions: Collection[str], deployer: DeployerPorts) -> dict[str, dict[str, Any]]:
    """`bmk_artifacts` and `bmk_images` of each of these versions of Kubernetes that is a release, by version."""
    found = {version: release_of(version) for version in versions}
    both = {version: mirror.as_vars(deployer) for version, mirror in found.items() if mirror.release}
    return {version: {"bmk_artifacts": files, "bmk_images": images} for version, (files, images) in both.items()}


def release_of(version: str) -> Mirror:
    """The view of a version of Kubernetes: the lock's own when that is it, or when this one was never built."""
    base = open_mirror()
    kubelet = base.files.get("kubelet")
    if kubelet is not None and kubelet.version == f"v{version}":
        return base
    return next((one for one in base.releases() if one.release == version), base)


def recorded_at() -> int:
    """When the mirror was last recorded, in nanoseconds; 0: never. Its content is unchanged as long as this is."""
    try:
        return (mirror_dir() / RECORD).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def load_mirror(lock_path: Path | None = None, release: str = "") -> Mirror:
    """The mirror, complete, for serving and installing; `release`: of a further version of Kubernetes.

    `lock_path`: the data center's own lock (None: the one that bmk ships). Raises PreflightRefused when something that
    the lock names was never built, or was built from another version.
    """
    lock = load_lock(lock_path)
    mirror, lock = open_mirror(release=release), lock.at(release) if release else lock
    wanted = {name: product.version for product in lock.products.values() for name in product.outputs()}
    missing = [n for n, version in wanted.items() if n not in mirror.files or mirror.files[n].version != version]
    missing += [n for files in lock.systems.values() for n in files if n not in mirror.files]
    missing += [n for n, image in lock.images.items() if n not in mirror.images or mirror.images[n].tag != image.tag]
    if missing:
        raise PreflightRefused(
            "the mirror is not complete", where=str(mirror.root), why=f"missing: {', '.join(missing)}", hint=_BUILD
        )
    return mirror


def _fill(mirror: Mirror, value: Any) -> None:
    try:
        record = _Record.model_validate(value)
    except ValidationError as error:
        places = sorted({".".join(map(str, item["loc"][:3])) for item in error.errors()})
        raise ConfigError(
            "the record of the mirror is not one that bmk wrote", where=str(mirror.root / RECORD), why=", ".join(places)
        ) from error
    for name, file in record.files.items():
        local = inside(mirror.root / "files", file.path)
        mirror.seen[name] = list(file.seen)
        mirror.files[name] = FileArtifact(name=name, local=local, **file.model_dump(exclude={"seen"}))
    for name, image in record.images.items():
        mirror.images[name] = ImageArtifact(name=name, **image.model_dump())


def _problem(check: Callable[[], object]) -> BmkError | None:
    try:
        check()
    except BmkError as error:
        return error
    return None
