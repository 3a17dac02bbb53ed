"""HTML pages from the templates of this directory. Every value is escaped; the one place that knows Jinja2. Pure.

A page is one file: its style, script and data are inside, it opens without a network, in light and in dark.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).with_name("templates")


def render(name: str, **values: Any) -> str:
    """The page `templates/NAME.html.j2` with these values. Only files beside the template enter it unescaped."""
    return _environment().get_template(f"{name}.html.j2").render(values) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.globals["asset"] = lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    return environment
