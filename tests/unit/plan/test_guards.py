"""What cannot be changed of a cluster that exists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from bmk.datacenter.model import Cluster
from bmk.datacenter.resolve import DataCenter
from bmk.journal.records import MembershipRecord
from bmk.plan.guards import CONVERGED, GUARDS, existing, made_with, refusals
from tests.unit.plan.test_plan import DC

NAME = "lab-ha"
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "kubernetes.version": ("1.34.1", {"kubernetes": {"version": "1.34.1"}}),
    "endpoint": ("10.87.0.99:6443", {"endpoint": {"vip": "10.87.0.99"}}),
    "network.pods": ("10.200.0.0/16", {"network": {"pods": "10.200.0.0/16"}}),
    "network.node_prefix": ("25", {"network": {"node_prefix": 25}}),
    "network.services": ("10.201.0.0/16", {"network": {"services": "10.201.0.0/16"}}),
    "network.plugin": ("cilium", {"network": {"plugin": "cilium"}}),
}


def changed(change: dict[str, Any]) -> DataCenter:
    """The data center with another file: what a person changes in spec.clusters."""
    body = DC.spec.model_dump(mode="json", exclude_none=True)
    cluster = body["clusters"][NAME]
    for key, value in change.items():
        cluster[key] = {**cluster[key], **value}
    return replace(DC, spec=type(DC.spec).model_validate(body))


def test_a_cluster_that_is_as_the_file_says_is_not_refused() -> None:
    """Of the same file nothing differs, also after it went through the journal as texts."""
    assert list(refusals(DC, NAME, made_with(DC, NAME))) == []


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.field)
def test_each_guarded_field_is_refused(guard: Any) -> None:
    """Another value in the file is one refusal that says which it was made with, which is wanted, and why not."""
    wanted, change = CHANGES[guard.field]
    before = made_with(DC, NAME)
    (found,) = refusals(changed(change), NAME, before)
    assert (found.field, found.made_with, found.wanted) == (guard.field, before[guard.field], wanted)
    assert found.why
    assert found.loc == ("spec", "clusters", NAME, *guard.field.split("."))
    assert f"has {guard.field} {before[guard.field]}, dc.yml says {wanted}" in str(found)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"policies": "none"}},
        {"network": {"masquerade": "off"}},
        {"network": {"bgp": {"asn": 64600}}},
        {"hardening": {"pod_security": {"enforce": "baseline"}}},
        {"workers": {"hosts": ["worker-1"]}},
    ],
    ids=str,
)
def test_what_provision_converges_is_not_refused(change: dict[str, Any]) -> None:
    """Hardening, policies, routing and members may change at any time."""
    assert list(refusals(changed(change), NAME, made_with(DC, NAME))) == []


def test_each_field_of_a_cluster_is_decided() -> None:
    """A field that is new in the model is either guarded or brought to running clusters: nobody forgets to ask."""
    decided = {guard.field for guard in GUARDS} | set(CONVERGED)
    assert len(decided) == len(GUARDS) + len(CONVERGED), "none is both"
    assert {_decided(path, decided) for path in _fields(Cluster)} == decided


def _fields(model: type[BaseModel], above: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        path = f"{above}{name}"
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        found += _fields(inner, f"{path}.") if nested else [path]  # type: ignore[arg-type]
    return found


def _decided(path: str, decided: set[str]) -> str:
    parts = path.split(".")
    prefixes = [".".join(parts[: n + 1]) for n in range(len(parts))]
    return next((prefix for prefix in prefixes if prefix in decided), f"{path} is not decided")


def test_what_is_not_known_is_not_refused() -> None:
    """Of a cluster that an older bmk made, only what its API shows is compared."""
    other = changed(CHANGES["network.plugin"][1])
    known = {key: value for key, value in made_with(DC, NAME).items() if key != "network.plugin"}
    assert list(refusals(other, NAME, known)) == []
    assert list(refusals(other, NAME, {})) == []


def test_a_cluster_exists_while_a_member_stays() -> None:
    """One whose members are all to be installed anew begins anew, and may then be made otherwise."""
    joined = {name: MembershipRecord(cluster=of) for name, of in (("cp-1", "a"), ("cp-2", "a"), ("cp-3", "b"))}
    assert existing(joined, set()) == {"a", "b"}
    assert existing(joined, {"cp-1", "cp-3"}) == {"a"}
