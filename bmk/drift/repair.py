"""Extra variables of configure.yml for hosts with drift: whose records do not count, what to restore or restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bmk.drift import baseline as baselines
from bmk.drift.classify import KINDS
from bmk.drift.facts.files import MANIFEST_PATH
from bmk.drift.history import outstanding
from bmk.drift.model import Finding
from bmk.journal import Journal
from bmk.journal.records import SuspectRecord

_KEYS = "/root/.ssh/authorized_keys"


def repair_variables(journal: Journal, hosts: Sequence[str]) -> dict[str, Any]:
    """Variables of the play.

    `bmk_distrust`: hosts whose own records do not count. By host: `bmk_restore`, items of `bmk_files`; `bmk_boot`, the
    label of the entry that UEFI boots first; `bmk_restart`, units of systemd.
    """
    found = {h: outstanding(journal, h).get(h, ()) for h in hosts}
    wanted = {h: [f for f in findings if f.repair == "converge" and not f.expected] for h, findings in found.items()}
    drifted = {host: findings for host, findings in wanted.items() if findings}
    suspect = {host for host in SuspectRecord.load_all(journal) if host in hosts}
    signed = {host: baselines.valid(journal, host) for host in drifted}
    kinds = {host: {f.difference.kind for f in findings} for host, findings in drifted.items()}
    return {
        "bmk_distrust": sorted({*drifted, *suspect}),
        "bmk_restore": {host: _items(signed[host], findings) for host, findings in drifted.items()},
        "bmk_boot": {host: _first_boot_entry(signed[host]) for host in drifted if "boot" in kinds[host]},
        "bmk_restart": {host: _units(kinds[host]) for host in drifted if _units(kinds[host])},
    }


def _units(kinds: set[str]) -> list[str]:
    return sorted({KINDS[kind].restarts for kind in kinds & set(KINDS)} - {""})


def _first_boot_entry(baseline: baselines.Baseline | None) -> str:
    return str(baseline.facts.get("boot", {}).get("first", {}).get("value", "")) if baseline else ""


def _items(baseline: baselines.Baseline | None, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Files that no role writes: as in the baseline, or absent. Each once, parents before what is in them."""
    if baseline is None:
        return []
    paths = {f.difference.id for f in findings if f.difference.kind == "files" and not f.owner.startswith("role ")}
    paths -= {MANIFEST_PATH}  # the converge itself writes it
    paths |= {_KEYS for f in findings if f.difference.kind == "authorized_keys"}
    items = [_item(baseline, path) for path in sorted(paths)]
    return [item for item in items if item is not None]


def _item(baseline: baselines.Baseline, path: str) -> dict[str, Any] | None:
    wanted = baseline.facts.get("files", {}).get(path, {"type": "absent"})
    if wanted["type"] == "absent":
        return {"path": path, "state": "absent"}
    if wanted["type"] == "link":
        return {"path": path, "state": "link", "target": wanted["target"]}
    rights = {key: wanted[key] for key in ("mode", "owner", "group")}
    if wanted["type"] == "directory":
        return {"path": path, "state": "directory", **rights}
    return {"path": path, "content": baseline.texts[path], **rights} if path in baseline.texts else None
