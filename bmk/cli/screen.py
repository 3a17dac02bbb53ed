"""The console of rich for bmk: it uses the terminal's own colours, and removes control characters."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bmk.terminal import printable


class Screen(Console):
    """Every text passes here, be it a message, a cell of a table or a line of a live view."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
