"""Boxes for Vagrant: what happens when scenarios start side by side. That one boots is shown by molecule."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from bmk.artifacts import box as boxes
from bmk.artifacts.box import Box, make_box
from bmk.artifacts.mirror import Mirror


class _Image:
    version, local = "1", Path("image")

    def file(self, _name: str) -> _Image:
        return self

    def check(self) -> _Image:
        return self


def test_two_that_begin_together_make_one_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would make a key of its own, and one's key would lie beside the other's box."""
    box = Box("0.1.0", *(tmp_path / "box" / name for name in ("node.box", "node.json", "key")))
    both, made = threading.Barrier(2), []

    def make(box: Box, *_: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=1)  # for the other one, who must not come
        made.append(box)
        box.catalog.touch()

    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(boxes, "box_of", lambda _mirror: box)
    monkeypatch.setattr(boxes, "_make", make)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: make_box(cast("Mirror", _Image()), print), range(2))) == [box, box]
    assert made == [box]
