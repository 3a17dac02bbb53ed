"""A lock of one small program and one image of it, and the plain file that it pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.artifacts.content import sha256_bytes

TOOL = b"#!/bin/sh\necho tool\n" * 1000
LOCK = """\
# a comment that has to survive
apiVersion: bmk.dev/v1
kind: ArtifactsLock
go: 1.26.8
debian: trixie
products:
  tools:
    version: v1.2.3   # and this one
    module: example.org/tools
    files:
      tool:
        package: example.org/tools/cmd/tool
        sha256: {sha256}
        upstream: {{url: "https://example.org/{{version}}/tool-{{number}}", sha256: null}}
images:
  tool:
    tag: v1.2.3
    id: {id}
    files: {{/usr/bin/tool: tool}}
    links: {{/usr/bin/alias: tool}}
    entrypoint: [/usr/bin/tool]
    user: "65532:65532"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of plain files, as a person would fill it."""
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "tool").write_bytes(TOOL)
    return directory


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    """The lock that names the file in `place`."""
    path = tmp_path / "artifacts.lock"
    path.write_text(LOCK.format(sha256=sha256_bytes(TOOL), id="null"))
    return path
