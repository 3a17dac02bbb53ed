"""What a host should look like, from its baseline and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import Host
from bmk.drift.baseline import make
from bmk.drift.compare import compare, missing_kinds
from bmk.drift.desired import desired_of, wanted_of
from bmk.drift.facts import FACTS, read
from bmk.drift.facts.files import LISTED
from bmk.drift.flat import flat

ROOT = Path(__file__).resolve().parents[3]
ANSWER = read((Path(__file__).parent / "facts/control-plane.txt").read_text().split("\n"))
MANIFEST = {"sections": {
    "kubelet.units": {"inputs": "1", "items": [{"name": "kubelet.service", "desired": {"active": True}}]},
    "node.sysctls": {"inputs": "1", "items": [{"name": "vm.swappiness", "own": False, "desired": {"value": "1"}}]},
    "node.kernel_modules": {"inputs": "1", "items": [{"name": "nf-tables", "desired": {"in_kernel": True}}]},
    "cluster_plugin.applied": {"inputs": "1", "items": [{"name": "calico", "desired": {"sha256": "1"}}]},
    "kubelet.downloads": {"inputs": "1", "items": [
        {"dest": "/usr/local/bin/kubelet", "desired": {"sha256": "2"}},
        {"dest": "/opt/cni/bin", "unpack": True, "desired": {"sha256": "3"}}]},
}}  # fmt: skip


@pytest.fixture(scope="module")
def host() -> Host:
    return next(iter(load_datacenter(ROOT / "inventories/lab-ha/dc.yml").hosts.values()))


def differences(host: Host, now: Any, sections: Any = None) -> list[str]:
    """Items that differ from a baseline of the recorded answer."""
    desired = desired_of(host, make(host.name, "d", sections or {}, ANSWER, {}))
    return [d.item for d in compare(desired, now) if d.kind not in ("network", "clock")]  # those are the file's


def test_a_host_as_it_was_has_no_differences(host: Host) -> None:
    """A baseline of an answer against the same answer: nothing, whatever is closed."""
    assert differences(host, ANSWER) == []


@pytest.mark.parametrize("fact", [f for f in FACTS if f.closed and f.closed != ("next",)], ids=lambda fact: fact.name)
def test_an_item_too_many_is_drift_where_its_kind_is_closed(host: Host, fact: Any) -> None:
    """Each closed kind by one new item that its first pattern matches."""
    id_ = fact.closed[0].replace("*", "intruder")
    now = {**ANSWER, fact.name: {**ANSWER[fact.name], id_: {"type": "file"}}}
    assert differences(host, now) == [f"{fact.name}:{id_}"]


def test_a_listener_may_vanish_and_kubernetes_may_listen(host: Host) -> None:
    """One that is gone is no drift, nor is a port of Kubernetes that opens later; any other is."""
    listeners = {"tcp 10257 kube-controller": {}, "tcp 4444 nc": {}}
    assert differences(host, {**ANSWER, "listeners": listeners}) == ["listeners:tcp 4444 nc"]


def test_items_of_roles_count_as_facts_see_them(host: Host) -> None:
    """Downloads are files, unpacked ones and what others own are not compared, modules are named as the kernel does."""
    desired = desired_of(host, make(host.name, "d", MANIFEST, ANSWER, {}))
    assert desired.facts["files"]["/usr/local/bin/kubelet"] == {"sha256": "2", "type": "file"}
    assert desired.owners["files:/usr/local/bin/kubelet"] == "role kubelet"
    assert "/opt/cni/bin" not in desired.facts["files"]
    assert "vm.swappiness" not in desired.facts.get("sysctls", {})
    assert desired.facts["kernel_modules"] == {"nf_tables": {"in_kernel": True}}
    assert desired.facts["units"]["kubelet.service"]["active"] is True
    assert set(desired.facts["units"]) == {"kubelet.service"}  # other units of the host are not compared
    assert "applied" not in desired.facts


def test_a_host_is_asked_for_all_that_is_desired(host: Host) -> None:
    """Ids of every kind, and each closed directory."""
    desired = desired_of(host, make(host.name, "d", MANIFEST, ANSWER, {}))
    wanted = wanted_of(desired)
    assert {kind: set(wanted.of(kind)) for kind in desired.facts} == {k: set(v) for k, v in desired.facts.items()}
    assert wanted.listed == LISTED
    assert missing_kinds(desired, ANSWER) == []


KEYS = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(
    st.integers() | st.text("ab", max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_flat_settings_are_scalars(tree: dict[str, Any]) -> None:
    """Each leaf by its path and no mapping is left; another setting is one more leaf, and changes no other."""
    leaves = flat(tree)
    assert not any(isinstance(value, dict | list) for value in leaves.values())
    assert flat({**tree, "new": {"at": ["x", 1]}}) == {**leaves, "new.at": "x,1"}
