"""A difference as people read it: how severe it is, who declared the item, what repairs it, the next command. Pure.

Each kind defines its own rules and repair, in its module below facts/ or outside/.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmk.drift import facts, outside
from bmk.drift.kind import Kind, Rule
from bmk.drift.mask import masked_diff
from bmk.drift.model import Desired, Difference, Finding

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*facts.ALL, *outside.ALL)}
_DEFAULT = Rule("*", "*", "degraded")


def classify(dc: str, where: str, difference: Difference, desired: Desired, texts: Mapping[str, str]) -> Finding:
    """The finding of one difference. `where`: host or cluster; `texts`: present content of files, where it was read."""
    kind = KINDS.get(difference.kind) or Kind(name=difference.kind)
    rule = next((r for r in kind.rules if r.matches(difference)), _DEFAULT)
    repair = kind.repair(difference, desired)
    command = f"bmk provision {dc} --limit {where}" if repair else (rule.next or kind.next).format(dc=dc, where=where)
    is_text = difference.kind == "files" and difference.field in ("", "sha256")
    diff = masked_diff(difference.id, desired.texts.get(difference.id), texts.get(difference.id)) if is_text else ""
    return Finding(
        where,
        difference,
        rule.severity,
        desired.owners.get(difference.item, "the last converge"),
        repair,
        command,
        note=rule.note,
        diff=diff,
    )
