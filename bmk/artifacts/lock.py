"""artifacts.lock: the version and digest of everything that bmk installs, and how each thing is made.

Three ways of pinning, because three kinds of bytes exist:

* **by output**: a static Go program built with `CGO_ENABLED=0 -trimpath` has the same bytes for one Go version on
  every machine. Its sha256 is in the lock, beside the Go version that it holds for. So has an image made of such
  programs only (its id: the digest of its configuration, which names the uncompressed layers).
* **by input**: runc (cgo, linked with the builder's libseccomp and libc), and what is made from Debian packages (the
  node image, the install ramdisk, kube-proxy's tools). The lock pins the module version and go.sum, or the package
  list; the digest of what came out is written to the mirror's own `artifacts.resolved.yml`, and from there on it is
  what plans, grants and downloads name.
* **upstream's own build** of the same version has other bytes than ours. Its digest (`upstream.sha256`, of the release
  file as published) is a second pin of the same entry. Where it is null nobody has vouched for it, and bmk does not
  fetch it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bmk.document import read_document
from bmk.errors import ConfigError

DEFAULT_LOCK = Path(__file__).with_name("artifacts.lock")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Upstream(_Entry):
    """A release as its project publishes it. `{version}` and `{number}` (without the v) are filled in."""

    url: str
    member: str = ""  # path inside the release's tar; empty: the release is the file
    sha256: str | None = None  # of the release; None: not vouched for, never fetched


class LockedFile(_Entry):
    """One file of the mirror. `package` is the Go package that it is built from."""

    package: str
    sha256: str | None = None  # None: pinned by input
    upstream: Upstream | None = None


class Archive(_Entry):
    """The programs of a product in one plain tar: nodes get one file, and its bytes do not depend on a compressor."""

    name: str
    packages: tuple[str, ...]
    sha256: str | None = None
    upstream: Upstream | None = None


class Product(_Entry):
    """One Go module below modules/, and the files that come from it."""

    version: str
    module: str
    ldflags: str = "-s -w"
    tags: tuple[str, ...] = ()
    cgo: bool = False
    files: dict[str, LockedFile] = {}
    archive: Archive | None = None

    def outputs(self) -> dict[str, LockedFile | Archive]:
        """Every file that this product adds to the mirror."""
        return {**self.files, **({self.archive.name: self.archive} if self.archive else {})}


class Image(_Entry):
    """One OCI image: files of the mirror, parts of Debian packages, or both (then Debian's part is the lower layer)."""

    tag: str
    files: dict[str, str] = {}  # path in the image -> file of the mirror
    debian: tuple[str, ...] = ()  # packages, unpacked and not installed
    keep: dict[str, str] = {}  # path in the image -> path in the unpacked packages; empty: programs and libraries
    links: dict[str, str] = {}
    entrypoint: tuple[str, ...]
    user: str = ""
    binds_low_ports: bool = False  # file capability cap_net_bind_service on the entry point
    id: str | None = Field(None, description="sha256 of the image configuration; None: pinned by input")


class Lock(_Entry):
    """The whole file."""

    apiVersion: Literal["bmk.dev/v1"]  # noqa: N815 - the spelling of the file
    kind: Literal["ArtifactsLock"]
    go: str
    debian: str
    products: dict[str, Product]
    images: dict[str, Image]
    systems: dict[str, tuple[str, ...]] = {}  # what systems.py makes -> its files

    def product_of(self, file: str) -> tuple[str, Product]:
        """Name and product of a file; KeyError when no product makes it."""
        for name, product in self.products.items():
            if file in product.outputs():
                return name, product
        raise KeyError(file)


def load_lock(path: Path | None = None) -> Lock:
    """Read a lock file (None: the one that bmk ships). Raises ConfigError listing every problem with its place."""
    source = path or DEFAULT_LOCK
    document = read_document(source)
    try:
        lock = Lock.model_validate(document.value)
    except ValidationError as error:
        problems = [
            f"{document.locate(e['loc'])[0]}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
        ]
        raise ConfigError("the lock file is not valid", where=str(source), why="\n       ".join(problems)) from error
    if document.flaws:
        flaws = "\n       ".join(f"{flaw.mark}: {flaw.what}" for flaw in document.flaws)
        raise ConfigError("the lock file is not valid", where=str(source), why=flaws)
    return lock
