"""Filters of the role boot_server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

_LIVE = ("dnsmasq.hosts", "dnsmasq.options")  # the boot service writes these again when the data center changes


def bmk_boot_files(texts: Mapping[str, str], user: str) -> list[dict[str, str]]:
    """Rendered files (path -> content) as items of bmk_files: configuration is root's, what lives is the service's."""
    return [
        {
            "path": str(path),
            "content": str(text),
            "owner": user if PurePath(str(path)).name in _LIVE else "root",
            "group": user,
            "mode": "0640",
        }
        for path, text in sorted(texts.items())
    ]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"bmk_boot_files": bmk_boot_files}
