"""artifacts.lock: the version and digest of everything that bmk installs, and how each thing is made.

There are three ways of pinning:

* **by output**: a static Go program built with `CGO_ENABLED=0 -trimpath` has the same bytes for one Go version on
  every machine. Its sha256 is in the lock, beside the Go version that it holds for. So has an image made of such
  programs only (its id: the digest of its configuration, which names the uncompressed layers).
* **by input**: runc (cgo, linked with the builder's libseccomp and libc), and what is made from Debian packages (the
  node image, the install ramdisk, kube-proxy's tools). The lock pins the module version and go.sum, or the package
  list; the digest of what came out is written to the mirror's own `artifacts.resolved.yml`, and from there on it is
  what plans, grants and downloads name.
* **upstream's own build** of the same version has other bytes than ours. Its digest (`upstream.sha256`, of the release
  file as published) is a second pin of the same entry. Where it is null nobody has verified it: it is not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bmk.datacenter.scalars import MEANINGS, Version, word
from bmk.document import read_document
from bmk.errors import ConfigError

DEFAULT_LOCK = Path(__file__).with_name("artifacts.lock")


# Values of the lock become arguments of go and mmdebstrap, paths and URLs. Each type has a pattern that excludes
# options, `..` and code.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_FILLED = r"\{(version|number)\}"  # what sources.filled puts in
_VALUE = r"[A-Za-z0-9._/+-]*(\{(version|number|major|minor)\})?[A-Za-z0-9._/+-]*"
_LDFLAG = rf"(-s|-w|-X [A-Za-z0-9._/-]+={_VALUE}|-extldflags -static)"

ProductName = Annotated[str, word(r"[a-z0-9][a-z0-9-]{0,62}", "a name of lower-case letters, digits and dashes")]
FileName = Annotated[str, word(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "the name of a file")]
ImageName = Annotated[str, word(r"[a-z0-9]+([._-][a-z0-9]+){0,9}", "the name of an image, in lower case")]
Tag = Annotated[str, word(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", "the tag of an image")]
ModuleVersion = Annotated[
    str,
    word(r"v(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[A-Za-z0-9.-]+)?(\+incompatible)?", "a version of a module: v1.2.3"),
]
GoVersion = Annotated[str, word(r"1\.[0-9]{1,3}\.[0-9]{1,3}", "a version of Go such as 1.26.8")]
GoPath = Annotated[
    str, word(rf"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)+(/{_PART})*", "a module or package: example.net/tool/cmd")
]
GoTag = Annotated[str, word(r"[a-z][a-z0-9_.]*", "a build tag")]
LinkFlags = Annotated[
    str,
    word(
        rf" ?({_LDFLAG}( {_LDFLAG})*)? ?",
        "flags of Go's linker: -s, -w, -X package.variable=value, -extldflags -static",
        2000,
    ),
]
Sha256 = Annotated[str, word(r"[0-9a-f]{64}", "a sha256: 64 hexadecimal digits in lower case")]
Url = Annotated[
    str,
    word(
        rf"https://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{{1,5}})?(/([A-Za-z0-9._~+-]|{_FILLED})+)*",
        "an https URL, in which {version} and {number} are filled in",
    ),
]
Member = Annotated[
    str, word(rf"(([A-Za-z0-9_]|{_FILLED})([A-Za-z0-9._+-]|{_FILLED})*/?)*", "a path inside of an archive")
]
ImagePath = Annotated[str, word(rf"(/{_PART})+", "an absolute path in the image, without ..")]
PackagePath = Annotated[str, word(rf"{_PART}(/{_PART})*", "a path in the unpacked packages, without .. and leading /")]
LinkTarget = Annotated[str, word(rf"{_PART}(/{_PART})*", "a path relative to the link, without ..")]
Argument = Annotated[str, word(rf"((/{_PART})+|--?[A-Za-z][A-Za-z0-9=._-]*)", "a program's path, or an option of it")]
DebianPackage = Annotated[str, word(r"[a-z0-9][a-z0-9+.-]+", "a Debian package")]
Suite = Annotated[str, word(r"[a-z]{3,20}", "a release of Debian such as trixie")]
User = Annotated[str, word(r"([1-9][0-9]{0,9}:[1-9][0-9]{0,9})?", "uid:gid of an ordinary user, such as 65532:65532")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Upstream(_Entry):
    """A release as its project publishes it. `{version}` and `{number}` (without the v) are filled in."""

    url: Url
    member: Member = ""  # path inside the release's tar; empty: the release is the file
    sha256: Sha256 | None = None  # of the release; None: not verified, never fetched


class LockedFile(_Entry):
    """One file of the mirror. `package` is the Go package that it is built from."""

    package: GoPath
    sha256: Sha256 | None = None  # None: pinned by input
    upstream: Upstream | None = None


class Archive(_Entry):
    """The programs of a product in one plain tar: nodes get one file, and its bytes do not depend on a compressor."""

    name: FileName
    packages: tuple[GoPath, ...]
    sha256: Sha256 | None = None
    upstream: Upstream | None = None


class Product(_Entry):
    """One Go module below modules/, and the files that come from it."""

    version: ModuleVersion
    module: GoPath
    ldflags: LinkFlags = "-s -w"
    tags: tuple[GoTag, ...] = ()
    cgo: bool = False
    files: dict[FileName, LockedFile] = {}
    archive: Archive | None = None

    def outputs(self) -> dict[str, LockedFile | Archive]:
        """Every file that this product adds to the mirror."""
        return {**self.files, **({self.archive.name: self.archive} if self.archive else {})}


class Image(_Entry):
    """One OCI image: files of the mirror, parts of Debian packages, or both (then Debian's part is the lower layer)."""

    tag: Tag
    files: dict[ImagePath, FileName] = {}  # path in the image -> file of the mirror
    debian: tuple[DebianPackage, ...] = ()  # packages, unpacked and not installed
    keep: dict[ImagePath, PackagePath] = {}  # path in the image -> path in the packages; empty: programs and libraries
    links: dict[ImagePath, LinkTarget] = {}
    entrypoint: tuple[Argument, ...]
    user: User = ""
    binds_low_ports: bool = False  # file capability cap_net_bind_service on the entry point
    id: Sha256 | None = Field(None, description="sha256 of the image configuration; None: pinned by input")


class ReleasedProduct(_Entry):
    """A product in another version. `sha256`: of its files, by name; null or missing: pinned by input."""

    version: ModuleVersion
    sha256: dict[FileName, Sha256 | None] = {}


class ReleasedImage(_Entry):
    """An image of another version's files."""

    tag: Tag
    id: Sha256 | None = None


class Release(_Entry):
    """A further version of Kubernetes, to upgrade from or to: what it has otherwise than the lock itself."""

    products: dict[ProductName, ReleasedProduct]
    images: dict[ImageName, ReleasedImage] = {}


KUBERNETES = "kubernetes"  # the product whose version is that of clusters


class Lock(_Entry):
    """The whole file."""

    apiVersion: Literal["bmk.dev/v1"]  # noqa: N815 - the spelling of the file
    kind: Literal["ArtifactsLock"]
    go: GoVersion
    debian: Suite
    products: dict[ProductName, Product]
    images: dict[ImageName, Image]
    systems: dict[ProductName, tuple[FileName, ...]] = {}  # what systems.py makes -> its files
    releases: dict[Version, Release] = {}  # by version of Kubernetes, such as 1.36.3

    @model_validator(mode="after")
    def _whole(self) -> Lock:
        """Every file that images and systems use is the output of exactly one product or system."""
        made = [file for product in self.products.values() for file in product.outputs()]
        if twice := sorted({file for file in made if made.count(file) > 1}):
            raise ValueError(f"made by two products: {', '.join(twice)}")
        if lost := sorted({file for image in self.images.values() for file in image.files.values()} - set(made)):
            raise ValueError(f"in an image, and no product makes it: {', '.join(lost)}")
        for version, release in self.releases.items():
            strange = sorted((*(release.products.keys() - self.products), *(release.images.keys() - self.images)))
            if strange:
                raise ValueError(f"in the release {version}, and nowhere else: {', '.join(strange)}")
        return self

    @property
    def kubernetes(self) -> tuple[str, ...]:
        """Versions of Kubernetes that it has, its own first."""
        own = self.products.get(KUBERNETES)
        return (*((own.version.removeprefix("v"),) if own else ()), *self.releases)

    def at(self, version: str) -> Lock:
        """The lock with what belongs to a version of Kubernetes. Raises ConfigError when it has none such."""
        own = self.products.get(KUBERNETES)
        if own is not None and own.version == f"v{version}":
            return self
        if version not in self.releases:
            has = ", ".join(self.kubernetes) or "none"
            raise ConfigError(f"the lock has no Kubernetes {version}", why=f"it has {has}", hint=_RELEASES)
        release = self.releases[version]
        products = {name: _released(self.products[name], other) for name, other in release.products.items()}
        images = {name: self.images[name].model_copy(update=dict(other)) for name, other in release.images.items()}
        return self.model_copy(
            update={"products": {**self.products, **products}, "images": {**self.images, **images}, "releases": {}}
        )

    def product_of(self, file: str) -> tuple[str, Product]:
        """Name and product of a file; KeyError when no product makes it."""
        for name, product in self.products.items():
            if file in product.outputs():
                return name, product
        raise KeyError(file)


_RELEASES = "docs/artifacts.md says how a release is added to the lock"


def _released(product: Product, other: ReleasedProduct) -> Product:
    """Its upstream's digests are of the other version, so nobody has vouched for them here."""
    files = {name: _pinned(pin, other.sha256.get(name)) for name, pin in product.files.items()}
    archive = product.archive and _pinned(product.archive, other.sha256.get(product.archive.name))
    return product.model_copy(update={"version": other.version, "files": files, "archive": archive})


def _pinned(pin: Any, sha256: str | None) -> Any:
    upstream = pin.upstream and pin.upstream.model_copy(update={"sha256": None})
    return pin.model_copy(update={"sha256": sha256, "upstream": upstream})


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        return f"{error['input']!r} is not {MEANINGS[error['ctx']['pattern']]}"
    return str(error["msg"])


def load_lock(path: Path | None = None) -> Lock:
    """Read a lock file (None: the one that bmk ships). Raises ConfigError listing every problem with its place."""
    source = path or DEFAULT_LOCK
    document = read_document(source)
    try:
        lock = Lock.model_validate(document.value)
    except ValidationError as error:
        problems = [
            f"{document.locate(e['loc'])[0]}: {'.'.join(map(str, e['loc']))}: {_words(e)}" for e in error.errors()
        ]
        raise ConfigError("the lock file is not valid", where=str(source), why="\n       ".join(problems)) from error
    if document.flaws:
        flaws = "\n       ".join(f"{flaw.mark}: {flaw.what}" for flaw in document.flaws)
        raise ConfigError("the lock file is not valid", where=str(source), why=flaws)
    return lock
