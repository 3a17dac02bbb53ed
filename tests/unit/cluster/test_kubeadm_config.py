"""What a running cluster says it was made with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.cluster.kubeadm_config import made_with

KEPT = """\
apiServer: {}
apiVersion: kubeadm.k8s.io/v1beta4
clusterName: apps
controlPlaneEndpoint: 10.87.0.10:6443
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/16
"""


def test_guarded_fields_are_read() -> None:
    """As dc.yml writes them."""
    assert made_with(KEPT) == {
        "kubernetes.version": "1.36.2",
        "endpoint": "10.87.0.10:6443",
        "network.pods": "10.244.0.0/16",
        "network.services": "10.96.0.0/16",
    }


@pytest.mark.parametrize(
    "change", [("v1.36.2", "v1.36.2; rm"), ("10.244.0.0/16", "here"), (":6443", ""), ("networking:", "x:")]
)
def test_what_is_not_understood_is_not_known(change: tuple[str, str]) -> None:
    """An API that was taken over gets nothing into the journal or onto a terminal."""
    assert made_with(KEPT.replace(*change)) == {}


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_not_known(text: str) -> None:
    """No text of an API ends a plan."""
    assert set(made_with(text)) <= {"kubernetes.version", "endpoint", "network.pods", "network.services"}
