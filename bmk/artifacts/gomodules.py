"""Programs from Go modules: the source of artifacts that needs nothing but a module proxy and the checksum database.

Each product has a small module of its own below modules/ whose go.sum is committed, so the compiled sources are the
reviewed ones, whichever proxy serves them. The Go version is pinned too: an installed Go of another version downloads
that one as a module.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bmk import programs
from bmk.artifacts.content import sha256_file, sha256_of
from bmk.artifacts.lock import Product
from bmk.artifacts.tar import plain_tar
from bmk.artifacts.work import killed_with_parent
from bmk.errors import BmkError, ConfigError

MODULES = Path(__file__).with_name("modules")
Say = Callable[[str], None]


# Variables that a build inherits: places of modules and caches, and how to reach the network. None that names a
# compiler, a flag or a program to run: those must be reviewed.
KEPT = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "GOMAXPROCS"}
    | {"GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR", "GOROOT", "GOGC", "GOMEMLIMIT"}
    | {"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE"}
)


def go_environment(product: Product, go: str) -> dict[str, str]:
    """The environment of a build: what could change the output is set, the user's proxy and caches are kept. Garbage
    collection is off up to GOMEMLIMIT: it takes a seventh of the compiler's time, and few packages need it.
    """
    return {
        "GOGC": "off",
        "GOMEMLIMIT": "1GiB",  # of each compiler: above it, it collects all the same
        **{name: value for name, value in os.environ.items() if name in KEPT},
        "GOTOOLCHAIN": f"go{go}",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOWORK": "off",
        "GOOS": "linux",
        "GOARCH": "amd64",
        "GOAMD64": "v1",
        "GOEXPERIMENT": "",
        "GOFIPS140": "off",
        "CGO_ENABLED": "1" if product.cgo else "0",
        "CC": "gcc",
        **dict.fromkeys(("CGO_CFLAGS", "CGO_LDFLAGS"), "-O2 -g"),
    }


def inputs(name: str, product: Product, go: str) -> str:
    """Digest of all that decides what a build gives; a build with the same inputs need not be done again."""
    module = module_of(name, product)
    recipe = product.model_dump(include={"version", "module", "ldflags", "tags", "cgo"})
    packages = _packages(product)
    sources = [sha256_file(module / part) for part in ("go.mod", "go.sum")]
    return sha256_of([recipe, packages, sources, go])


def link_flags(product: Product) -> str:
    """-ldflags with the version filled in: `{version}` v1.37.2, `{number}` 1.37.2, `{major}` 1, `{minor}` 37."""
    number = product.version.removeprefix("v")
    major, minor = number.split(".")[:2]
    return product.ldflags.strip().format(version=product.version, number=number, major=major, minor=minor)


def build(name: str, product: Product, go: str, into: Path, say: Say) -> dict[str, Path]:
    """Build all programs of a product below `into` and return them by the name of the file in the mirror.

    Raises BmkError with the last lines of the compiler when it fails; what was compiled stays in Go's cache.
    """
    _require_module(name, product)
    packages = _packages(product)
    command = [
        *killed_with_parent(),
        programs.find("go") or "go",
        "build",
        "-v",
        "-o",
        f"{into}/",
        "-ldflags",
        link_flags(product),
    ]
    if product.tags:
        command += ["-tags", " ".join(product.tags)]
    _run([*command, "--", *packages.values()], module_of(name, product), go_environment(product, go), say)
    built = {file: into / _program(package) for file, package in packages.items()}
    if product.archive is None:
        return built
    archive = into / f"{product.archive.name}.tar"
    plain_tar(archive, {_program(p): built[_program(p)] for p in product.archive.packages})
    return {name: path for name, path in built.items() if name in product.files} | {product.archive.name: archive}


def _require_module(name: str, product: Product) -> None:
    """Refuse a lock whose version is not that of go.mod: what go.mod says is compiled under the name of the other."""
    directory = module_of(name, product)
    has = module_version(directory, product.module) if (directory / "go.mod").is_file() else ""
    if has != product.version:
        raise ConfigError(
            f"the lock wants {product.module} {product.version}, and bmk has {has or 'no such module'}",
            where=f"products.{name}",
            hint=f"change {directory}/go.mod and go.sum too (docs/artifacts.md, Changing a version)",
        )


def module_of(name: str, product: Product) -> Path:
    """Where the module of a product is; that of a release beside the lock's own, with its version in its name."""
    released = MODULES / f"{name}-{product.version}"
    return released if released.is_dir() else MODULES / name


def module_version(directory: Path, module: str) -> str:
    """The version of `module` that go.mod in a directory requires; empty when it does not."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)} (v\S+)", (directory / "go.mod").read_text(), re.M)
    return found.group(1) if found else ""


def _packages(product: Product) -> dict[str, str]:
    packed = product.archive.packages if product.archive else ()
    return {file: locked.package for file, locked in product.files.items()} | {_program(p): p for p in packed}


def _program(package: str) -> str:
    """What `go build` calls the program of a package: its last element that is not a major version."""
    return next(part for part in reversed(package.split("/")) if not re.fullmatch(r"v\d+", part))


def _run(command: list[str], module: Path, environment: dict[str, str], say: Say) -> None:
    started, name = time.monotonic(), module.name
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=module,
            env=environment,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            tail = _follow(process, name, started, say)
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if status != 0:
        raise BmkError(
            f"go could not build {name}",
            where=str(module),
            why="\n       ".join(tail[-12:]),
            hint="see `go env GOPROXY GOSUMDB GOTOOLCHAIN`; the same command continues where it stopped",
        )


def _follow(process: subprocess.Popen[str], name: str, started: float, say: Say) -> list[str]:
    """Read what the compiler says; one line of progress every ten seconds. Returns the last lines."""
    counts, tail = {"compiled": 0, "fetched": 0}, list[str]()
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(done, counts, name, started, say), daemon=True)
    ticker.start()
    try:
        for line in _lines(process):
            counts["fetched" if line.startswith("go: downloading") else "compiled"] += 1
            tail = [*tail[-40:], line]
    finally:
        done.set()
        ticker.join()
    return tail


def _tick(done: threading.Event, counts: dict[str, int], name: str, started: float, say: Say) -> None:
    while not done.wait(10):
        seconds = time.monotonic() - started
        say(f"  {name}: {counts['fetched']} modules fetched, {counts['compiled']} packages compiled, {seconds:.0f} s")


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr is not None  # noqa: S101 - opened as a pipe above
    for line in process.stderr:
        yield line.rstrip()
