"""What an API server that was taken over answers the hardening report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.drift.model import Answer, Trouble
from bmk.journal import Journal
from bmk.live import hardening_service

SOURCE = Path(__file__).resolve().parents[3] / "inventories" / "lab-ha" / "dc.yml"
NONE: dict[str, Any] = dict.fromkeys(
    ("wanted", "policies", "nodes", "pods", "namespaces", "tokens", "role_bindings", "roles"), ()
)
ODD_OBJECTS: dict[str, Any] = {
    "pods": {"metadata": {"namespace": "n"}},
    "namespaces": {"metadata": {"name": "n", "labels": 7}},
    "nodes": {"kind": "Node"},
}


@pytest.mark.parametrize("kind", ODD_OBJECTS)
def test_objects_that_cannot_be_read_end_no_report(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That cluster's controls are unknown, with the reason; hosts are in the report as before."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("bmk.cluster.anonymous.ask", lambda endpoints: {})
    dc = load_datacenter(SOURCE)
    evidence = {**NONE, kind: (ODD_OBJECTS[kind],), "kube_proxy": ""}

    async def silent(requests: Any, *_: Any, **__: Any) -> Any:
        for name in requests:
            yield Answer(name, troubles=(Trouble("silent", "no answer"),))

    monkeypatch.setattr(hardening_service, "collect", silent)
    services: Any = SimpleNamespace(
        cluster=lambda name: SimpleNamespace(evidence=lambda: evidence), journal=Journal.open(tmp_path)
    )
    host = dc.members("lab-ha")[0]
    report = hardening_service.assess_hardening(dc, services, [host])
    why = {one.name: one.why for one in report.silent}
    assert set(why) == {host.name, "lab-ha"}
    assert "cannot be understood" in why["lab-ha"]
    assert {r.state for r in report.results if r.where == "lab-ha"} == {"unknown"}
