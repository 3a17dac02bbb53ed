"""The page: one HTML file that needs no network and no server. Pure: data in, text out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


def render(data: dict[str, Any]) -> str:
    """The page with its data inside."""
    style, script, body = (_part(name) for name in ("page.css", "page.js", "page.html"))
    # `<` would end the script element: as an escape it is the same JSON
    text = json.dumps(data, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
    page = body.replace("@style@", style).replace("@title@", _escaped(data["datacenter"]))
    return page.replace("@script@", script).replace("@data@", text)


@cache
def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
