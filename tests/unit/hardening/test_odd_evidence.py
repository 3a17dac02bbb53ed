"""A node that answers anything is unknown where it cannot be read; the report of the others is whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.hardening.assess import assess_node
from bmk.hardening.evidence import NodeEvidence, evidence

PARTS = ("facts", "files", "texts", "containerd", "processes", "listeners", "sockets", "encryption", "sshd", "sysctls")
NAMES = ("kubelet", "kube-apiserver", "/var/lib/kubelet/config.yaml", "out", "args", "started", "mode", "uid", "x")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=9,
)


@pytest.mark.parametrize("said", ["", "motd", "@bmk@", "@bmk@nonsense", "@bmk@[1]", "@bmk@" + "[" * 100_000])
def test_what_is_no_evidence_is_refused(said: str) -> None:
    """Nothing but a ValueError, which the collector makes the trouble of this host."""
    with pytest.raises(ValueError, match=r"\w"):
        evidence(said.splitlines())


@given(st.sampled_from(["worker", "control_plane"]), st.dictionaries(st.sampled_from(PARTS), values))
def test_odd_evidence_crashes_no_report(role: str, raw: dict[str, Any]) -> None:
    """Every control has a result, whatever a node said of itself."""
    node = NodeEvidence("n1", role, evidence([f"@bmk@{json.dumps(raw)}"]))
    assert {result.where for result in assess_node(node, [])} == {"n1"}
