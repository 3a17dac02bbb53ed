"""What a likely cause is, and a rule that finds one. Data: `causes.py` has the rules and matches them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """What probably went wrong, why we think so, and the command or act that comes next.

    `sure`: it explains whatever else was said when the phase failed.
    """

    what: str
    why: str
    hint: str
    sure: bool = False


@dataclass(frozen=True, slots=True)
class CauseRule:
    """When it fits, and what it says then.

    It fits in one of `phases` (none named: in all) when there is an event of the kinds `seen`, its newest is of the
    kinds `newest` and `says` a pattern in a field, and there is none of the kinds `unseen`. A kind that ends in `.`
    means all below it. `what`, `why` and `hint` have fields: `text` and the data of that event, `dc`, `host`, `phase`,
    `seconds` since the phase began, `last` for the last text of all. What a machine said is `said` and `said_why`, in
    quotation marks, and `advice` is bmk's for the kind of failure that it named. Of alternatives between ` | ` the
    first counts of which something is known.
    """

    name: str
    what: str
    why: str
    hint: str
    phases: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    newest: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    says: tuple[str, str] = ("text", "")
    sure: bool = False
