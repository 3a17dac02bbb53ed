"""Where bmk keeps things: content (playbooks, roles), state of a data center, cache of artifacts."""

from __future__ import annotations

import os
from pathlib import Path


def content_dir() -> Path:
    """The directory that holds playbooks/, roles/ and inventories/: the checkout, or the wheel's copy."""
    package = Path(__file__).resolve().parent
    wheel = package / "_content"
    return wheel if wheel.is_dir() else package.parent


def state_dir(dc: str) -> Path:
    """State of one data center (journal, keys, rendered files). BMK_STATE_DIR, else XDG_STATE_HOME/bmk."""
    return _state() / dc


def crash_dir() -> Path:
    """Tracebacks of bugs. State: a report needs them after the cache is gone. No data center can be called so."""
    return _state() / "_crash"


def cache_dir() -> Path:
    """Artifacts by content, safe to delete. BMK_CACHE_DIR, else XDG_CACHE_HOME/bmk."""
    root = os.environ.get("BMK_CACHE_DIR")
    return Path(root) if root else _xdg("XDG_CACHE_HOME", ".cache") / "bmk"


def private_dir(path: Path) -> Path:
    """Make a directory and each that is missing above it, for its owner only; `mkdir(mode=)` sets the last alone."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    return path


def _state() -> Path:
    root = os.environ.get("BMK_STATE_DIR")
    return Path(root) if root else _xdg("XDG_STATE_HOME", ".local/state") / "bmk"


def _xdg(variable: str, default: str) -> Path:
    root = os.environ.get(variable)
    return Path(root) if root else Path("~").expanduser() / default
