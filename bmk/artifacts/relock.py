"""Write the digests of what was just built into a lock file, leaving its comments and order as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bmk.artifacts.lock import load_lock
from bmk.artifacts.mirror import Mirror

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.-]+):(?P<rest>.*)$")


def relock(path: Path, mirror: Mirror) -> list[str]:
    """Set every digest that the lock pins by output, or those of the release that the mirror is a view of.

    Returns the names whose digest changed.

    Entries without a `sha256:` (or `id:`) line are pinned by input and stay so.
    """
    wanted = dict(_released(path, mirror) if mirror.release else _wanted(path, mirror))
    lines, changed = [], []
    for keys, line in _with_keys(path.read_text().splitlines()):
        digest = wanted.get(keys)
        new = re.sub(r"(?<=: )(null|[0-9a-f]{64})\b", digest, line, count=1) if digest else line
        if new != line:
            changed.append(keys[-1] if keys[-2] == "sha256" else keys[-2])
        lines.append(new)
    path.write_text("\n".join(lines) + "\n")
    return changed


def _wanted(path: Path, mirror: Mirror) -> Iterator[tuple[tuple[str, ...], str]]:
    lock = load_lock(path)
    for name, product in lock.products.items():
        for file in product.files:
            yield ("products", name, "files", file, "sha256"), mirror.file(file).sha256
        if product.archive:
            yield ("products", name, "archive", "sha256"), mirror.file(product.archive.name).sha256
    for name in lock.images:
        yield ("images", name, "id"), mirror.image(name).id


def _released(path: Path, mirror: Mirror) -> Iterator[tuple[tuple[str, ...], str]]:
    release, place = load_lock(path).releases[mirror.release], ("releases", mirror.release)
    for name, product in release.products.items():
        for file in product.sha256:
            yield (*place, "products", name, "sha256", file), mirror.file(file).sha256
    for name in release.images:
        yield (*place, "images", name, "id"), mirror.image(name).id


def _with_keys(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each line with the path of keys it belongs to; the lock is block style where digests are."""
    stack: list[tuple[int, str]] = []
    for line in lines:
        if found := _KEY.match(line):
            indent = len(found["indent"])
            stack = [entry for entry in stack if entry[0] < indent] + [(indent, found["key"])]
        yield tuple(key for _, key in stack), line
