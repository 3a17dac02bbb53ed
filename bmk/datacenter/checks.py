"""Cross checks."""
from __future__ import annotations

from collections.abc import Callable, Iterator

from bmk.datacenter.draft import Draft
from bmk.datacenter.problem import Problem

CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = ()
