"""A mirror of one small program in a cache of its own, and real daemons on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bmk.artifacts.build import bring_up
from bmk.artifacts.content import sha256_bytes
from bmk.artifacts.lock import load_lock
from bmk.artifacts.mirror import Mirror
from bmk.artifacts.sources import Directory

TOOL = Path("/bin/busybox").read_bytes() if Path("/bin/busybox").exists() else b"#!/bin/sh\n"
LOCK = """\
apiVersion: bmk.dev/v1
kind: ArtifactsLock
go: {go}
debian: trixie
products:
  tools:
    version: v1.2.3
    module: example.org/tools
    ldflags: -s -w -X main.version={{version}}
    files:
      tool:
        package: example.org/tools/cmd/tool
        sha256: {sha256}
        upstream: {{url: "{url}", member: "{member}", sha256: {release}}}
images:
  tool:
    tag: v1.2.3
    files: {{/usr/bin/tool: tool}}
    links: {{/usr/bin/alias: tool}}
    entrypoint: [/usr/bin/tool]
    user: "65532:65532"
"""

WriteLock = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write_lock(tmp_path: Path) -> WriteLock:
    """Writes a lock of one program; what is not given is null."""

    def write(**given: str) -> Path:
        values = {"go": "1.26.8", "sha256": "null", "url": "https://example.org", "member": "", "release": "null"}
        path = tmp_path / "artifacts.lock"
        path.write_text(LOCK.format(**{**values, **given}))
        return path

    return write


@pytest.fixture
def mirror(tmp_path: Path, write_lock: WriteLock) -> Mirror:
    """A mirror that holds the program and its image."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "tool").write_bytes(TOOL)
    lock = load_lock(write_lock(sha256=sha256_bytes(TOOL)))
    return bring_up(lock, [Directory("place", place, None)], lambda _: None)


@pytest.fixture
def registry(mirror: Mirror, tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of loopback, serving the mirror's storage read-only; its address."""
    with served(mirror.registry.root, tmp_path) as address:
        yield address


@contextmanager
def served(root: Path, scratch: Path) -> Iterator[str]:
    """Run docker-registry on a storage directory until the block ends."""
    port = free_port()
    config = scratch / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {root}}}\n"
        f"  maintenance: {{readonly: {{enabled: true}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with ExitStack() as stack:
        log = stack.enter_context((scratch / "registry.log").open("w"))
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_for_port(port, process)
        yield f"127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something listens; fails when the process ends or after 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
