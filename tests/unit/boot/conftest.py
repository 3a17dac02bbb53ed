"""A small data center, its journal, and golden files for the boot tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bmk.boot.grants import GrantedImage, Permission, permission
from bmk.boot.journal_writer import JournalWriter
from bmk.boot.request_context import RequestContext
from bmk.boot.server import write_artifacts
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.journal import Journal

HERE = Path(__file__).parent
IMAGE, RAW = "a" * 64, "b" * 64


@pytest.fixture(scope="session")
def hall() -> DataCenter:
    return load_datacenter(str(HERE / "hall"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def wanted(hall: DataCenter) -> Callable[[str], Permission]:
    return lambda host: permission(hall.hosts[host], GrantedImage("node-image", IMAGE, RAW))


@pytest.fixture
def context(hall: DataCenter, tmp_path: Path) -> Iterator[RequestContext]:
    """The boot service without its sockets: a mirror, a deployer key, a journal; the clock stands at 1000 s."""
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAAdeployer bmk\n")
    names = {"install-kernel": "1/vmlinuz", "install-initrd": "1/initrd.img", "node-image": "1/image.zst"}
    write_artifacts(
        tmp_path,
        {name: {"url": f"http://x/files/{name}/{path}", "sha256": IMAGE, "size": 7} for name, path in names.items()},
    )
    made = RequestContext(
        hall, tmp_path, Journal.open(tmp_path), JournalWriter(Journal.open(tmp_path)), now=lambda: 1000.0
    )
    yield made
    made.writer.close()
    made.reader.close()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file below golden/; BMK_GOLDEN=write writes it, for review as a diff."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if os.environ.get("BMK_GOLDEN") == "write":
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed: review with BMK_GOLDEN=write and git diff"

    return compare
