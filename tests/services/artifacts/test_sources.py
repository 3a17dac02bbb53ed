"""Sources for real: releases over TLS, and programs that Go builds."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bmk.artifacts import gomodules
from bmk.artifacts.build import bring_up
from bmk.artifacts.content import sha256_bytes, sha256_file
from bmk.artifacts.lock import load_lock
from bmk.artifacts.relock import relock
from bmk.artifacts.sources import GoModules, UpstreamReleases, fetch
from bmk.errors import BmkError, ConfigError, DigestMismatch, Unreachable

from .conftest import TOOL, WriteLock, free_port

pytestmark = pytest.mark.services


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None: ...


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An https server on loopback with a certificate of its own: (URL, the directory that it serves)."""
    root, key, certificate = tmp_path / "releases", tmp_path / "key.pem", tmp_path / "cert.pem"
    root.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}", root
    server.shutdown()
    thread.join()
    server.server_close()


def release(root: Path) -> Path:
    """A release as projects publish them: a compressed tar with the program inside."""
    (root / "v1.2.3").mkdir()
    source = root / "tool"
    source.write_bytes(TOOL)
    with tarfile.open(root / "v1.2.3/tool-1.2.3.tar.gz", "w:gz") as tar:
        tar.add(source, "tool-1.2.3/bin/tool")
    return root / "v1.2.3/tool-1.2.3.tar.gz"


def test_a_release_whose_digest_is_in_the_lock_is_fetched(releases: tuple[str, Path], write_lock: WriteLock) -> None:
    """The program is taken out of the release, although its own digest is not the one of our build."""
    url, root = releases
    digest = sha256_file(release(root))
    lock = load_lock(
        write_lock(url=f"{url}/{{version}}/tool-{{number}}.tar.gz", member="tool-{number}/bin/tool", release=digest)
    )
    mirror = bring_up(lock, [UpstreamReleases("upstream", lock, lambda _: None)], lambda _: None)
    assert mirror.file("tool").sha256 == sha256_bytes(TOOL)
    assert mirror.file("tool").source == "upstream tool"


def test_a_release_with_other_bytes_is_refused(releases: tuple[str, Path], write_lock: WriteLock, cache: Path) -> None:
    """A release that was replaced after it was pinned is named with both digests; no other source is asked instead."""
    url, root = releases
    release(root)
    lock = load_lock(write_lock(url=f"{url}/{{version}}/tool-{{number}}.tar.gz", release="a" * 64))
    with pytest.raises(DigestMismatch) as caught:
        bring_up(
            lock,
            [UpstreamReleases("upstream", lock, lambda _: None), GoModules("Go", lock, lambda _: None)],
            lambda _: None,
        )
    assert "expected sha256 " + "a" * 64 in caught.value.why
    assert url in caught.value.where
    assert not list((cache / "mirror").rglob("tool"))


def test_a_release_that_cannot_be_reached_says_so(write_lock: WriteLock) -> None:
    """The URL, the reason and the way round are named."""
    lock = load_lock(write_lock(url=f"https://127.0.0.1:{free_port()}/tool", release="a" * 64))
    with pytest.raises(Unreachable, match="cannot fetch") as caught:
        bring_up(lock, [UpstreamReleases("upstream", lock, lambda _: None)], lambda _: None)
    assert "refused" in caught.value.why
    assert "--from" in caught.value.hint


def test_only_https_is_fetched(write_lock: WriteLock, tmp_path: Path) -> None:
    """A lock cannot make bmk read local files or plain HTTP: it is refused, and so is what came past it."""
    for url in ("file:///etc/passwd", "http://example.org/tool"):
        with pytest.raises(ConfigError, match="the lock file is not valid"):
            load_lock(write_lock(url=url, release="a" * 64))
        with pytest.raises(BmkError, match="only https"):
            fetch(url, tmp_path / "fetched")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module of one program that needs the standard library only, so that no network is asked."""
    modules = tmp_path / "modules"
    program = modules / "tools/here/cmd/tool"
    program.mkdir(parents=True)
    required = "require example.org/tools v1.2.3\n\nreplace example.org/tools => ./here\n"
    (modules / "tools/go.mod").write_text(f"module tools\n\ngo 1.21\n\n{required}")
    (modules / "tools/here/go.mod").write_text("module example.org/tools\n\ngo 1.21\n")
    (modules / "tools/go.sum").write_text("")
    (program / "main.go").write_text('package main\n\nvar version = "none"\n\nfunc main() { println(version) }\n')
    monkeypatch.setattr(gomodules, "MODULES", modules)
    monkeypatch.setenv("GOPROXY", "off")
    return program / "main.go"


def test_go_builds_the_same_bytes_again_and_knows_its_version(
    module: Path, write_lock: WriteLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relocked once, a second build from nothing but source is accepted by its digest."""
    path = write_lock(go=load_lock().go)
    lock = load_lock(path)
    mirror = bring_up(lock, [GoModules("Go", lock, lambda _: None)], lambda _: None)
    said = subprocess.run([str(mirror.file("tool").local)], capture_output=True, text=True, check=True).stderr
    assert said == "v1.2.3\n"
    path.write_text(path.read_text().replace("sha256: null", f"sha256: {mirror.file('tool').sha256}", 1))
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "again"))
    lock = load_lock(path)
    again = bring_up(lock, [GoModules("Go", lock, lambda _: None)], lambda _: None)
    assert again.file("tool").sha256 == mirror.file("tool").sha256
    assert relock(path, again) == []


def test_a_changed_source_is_refused_by_digest(module: Path, write_lock: WriteLock, cache: Path) -> None:
    """When what comes out of the compiler is not what was reviewed, nothing is installed."""
    lock = load_lock(write_lock(go=load_lock().go, sha256="a" * 64))
    with pytest.raises(DigestMismatch, match=r"tool v1\.2\.3") as caught:
        bring_up(lock, [GoModules("Go", lock, lambda _: None)], lambda _: None)
    assert "--relock" in caught.value.hint
    assert not list((cache / "mirror").rglob("tool"))


def test_a_compiler_error_is_shown(module: Path, write_lock: WriteLock) -> None:
    """The last lines of the compiler are the reason, without a traceback."""
    module.write_text("package main\n\nfunc main() { nonsense() }\n")
    lock = load_lock(write_lock(go=load_lock().go))
    with pytest.raises(BmkError, match="could not build tools") as caught:
        bring_up(lock, [GoModules("Go", lock, lambda _: None)], lambda _: None)
    assert "undefined: nonsense" in caught.value.why


def test_a_compiler_does_not_outlive_a_killed_bmk(tmp_path: Path) -> None:
    """After SIGKILL nothing goes on using the machine: what bmk started for long work ends with it."""
    script = "import os, subprocess, sys; from bmk.artifacts.work import killed_with_parent\n"
    script += (
        "child = subprocess.Popen([*killed_with_parent(), 'sleep', '300']); print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 20
    while "sleep" not in Path(f"/proc/{child}/cmdline").read_text().split("\0")[:1] and time.monotonic() < deadline:
        time.sleep(0.02)  # until setpriv has become the command
    parent.kill()
    parent.wait()
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
