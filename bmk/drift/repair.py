"""What a converge is told about hosts on which something was found: not to believe their records; what to put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bmk.drift import baseline as baselines
from bmk.drift.facts.files import MANIFEST_PATH
from bmk.drift.history import outstanding
from bmk.drift.model import Finding
from bmk.errors import BmkError
from bmk.journal import Journal

_KEYS = "/root/.ssh/authorized_keys"


def repair_variables(journal: Journal, hosts: Sequence[str]) -> dict[str, Any]:
    """Variables of a play.

    `bmk_distrust`: hosts whose records are not believed; `bmk_kubelets`: those whose kubelet begins anew;
    `bmk_tables`: those whose way out for pods is loaded anew. By host:
    `bmk_restore`, items of `bmk_files`; `bmk_boot`, what UEFI boots first.
    """
    found = {h: [f for f in outstanding(journal, h).get(h, ()) if _counts(f)] for h in hosts}
    drifted = {host: findings for host, findings in found.items() if findings}
    suspect = {host for host in journal.records("suspect") if host in hosts}
    items = {host: _items(_seal(journal, host), findings) for host, findings in drifted.items()}
    boots = {host: _first(journal, host) for host, found in drifted.items() if _about("boot", found)}
    kubelets, tables = ([h for h, found in drifted.items() if _about(kind, found)] for kind in ("kubelet", "nftables"))
    return {
        "bmk_distrust": sorted({*drifted, *suspect}),
        "bmk_restore": items,
        "bmk_boot": boots,
        "bmk_kubelets": kubelets,
        "bmk_tables": tables,
    }


def _about(kind: str, findings: Sequence[Finding]) -> bool:
    return any(f.difference.kind == kind for f in findings)


def _first(journal: Journal, host: str) -> str:
    seal = _seal(journal, host)
    return str(seal.facts.get("boot", {}).get("first", {}).get("value", "")) if seal else ""


def _counts(finding: Finding) -> bool:
    return finding.repair == "converge" and not finding.expected


def _items(seal: baselines.Baseline | None, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Files that no role writes: as sealed, or gone. Each once, parents before what is in them."""
    if seal is None:
        return []
    paths = {f.difference.id for f in findings if f.difference.kind == "files" and not f.owner.startswith("role ")}
    paths -= {MANIFEST_PATH}  # the converge itself writes it
    paths |= {_KEYS for f in findings if f.difference.kind == "authorized_keys"}
    items = [_item(seal, path) for path in sorted(paths)]
    return [item for item in items if item is not None]


def _item(seal: baselines.Baseline, path: str) -> dict[str, Any] | None:
    wanted = seal.facts.get("files", {}).get(path, {"type": "absent"})
    if wanted["type"] == "absent":
        return {"path": path, "state": "absent"}
    if wanted["type"] == "link":
        return {"path": path, "state": "link", "target": wanted["target"]}
    rights = {key: wanted[key] for key in ("mode", "owner", "group")}
    if wanted["type"] == "directory":
        return {"path": path, "state": "directory", **rights}
    return {"path": path, "content": seal.texts[path], **rights} if path in seal.texts else None


def _seal(journal: Journal, host: str) -> baselines.Baseline | None:
    try:
        return baselines.newest(journal, host)
    except BmkError:
        return None
