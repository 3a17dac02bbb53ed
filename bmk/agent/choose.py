"""Which disk may be wiped: exactly one, named by what does not move between boots. Pure; in doubt, none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bmk.agent.errors import AgentError
from bmk.agent.model import Disk
from bmk.disks import describe, listed, matching

_HINT = "name one of them by serial or wwn in dc.yml, then: bmk plan DC"


def choose_disk(selector: Mapping[str, Any], disks: Sequence[Disk]) -> Disk:
    """The one disk that the selector means; an empty selector means the only disk. AgentError for none or several."""
    try:
        found = matching(selector, disks)
    except ValueError as error:
        raise AgentError(
            "the disk selector cannot be understood", why=str(error), hint=_HINT, code="disk-choice"
        ) from None
    if len(found) == 1:
        return found[0]
    raise AgentError(
        f"{'several disks match' if found else 'no disk matches'} {describe(selector)}",
        why=f"this machine has {listed(disks)}", hint=_HINT, code="disk-choice",
    )  # fmt: skip
