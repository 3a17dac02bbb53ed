"""Which pods are evicted from a drained node, and how etcdctl's answers are parsed, whatever they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.cluster.drain import Evictee, evictees
from bmk.cluster.etcd import healthy, members, remove_command
from bmk.errors import BmkError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, **more.pop("metadata", {})}, **more}


def test_who_has_to_leave() -> None:
    """Pods of controllers and by hand; not a DaemonSet's, not the kubelet's own, not what has ended."""
    daemon = {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}
    pods = [
        pod("web", metadata={"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}),
        pod("by-hand", status={"phase": "Running"}),
        pod("agent", metadata=daemon),
        pod("apiserver", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}),
        pod("job", status={"phase": "Succeeded"}),
    ]
    assert evictees(pods) == [Evictee("n", "web", True), Evictee("n", "by-hand", False)]
    assert str(evictees(pods)[1]) == "n/by-hand (no controller makes it anew)"


def test_members_are_read_as_etcdctl_prints_them() -> None:
    """Numbers in JSON, hexadecimal on the command line; one that was added and never started has an address only."""
    text = '{"members": [{"ID": 10501334649042878790, "name": "cp-1", "peerURLs": ["https://10.0.0.1:2380"]}, '
    text += '{"ID": 5, "peerURLs": ["https://10.0.0.2:2380"]}]}'
    one, other = members(text)
    assert (one.id, one.name) == ("91bc3c398fb3c146", "cp-1")
    assert (other.name, other.addresses) == ("", ("10.0.0.2",))
    assert remove_command(other)[-3:] == ["member", "remove", "5"]
    health = [
        {"endpoint": "https://10.0.0.1:2379", "health": True},
        {"endpoint": "https://10.0.0.9:2379", "health": False},
    ]
    assert healthy(json.dumps(health), {"10.0.0.1": "cp-1"}) == {"cp-1": True, "10.0.0.9": False}


@given(JSON)
def test_an_odd_answer_is_an_error_of_ours(value: Any) -> None:
    """A control plane that was taken over prints what it likes."""
    for read in (members, lambda text: healthy(text, {})):
        try:
            read(json.dumps(value))
        except BmkError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]]", '{"members": [{"ID": -1}]}', '{"members": [{"ID": 1, "peerURLs": ["https://["]}]}'),
        *('{"members": [{"ID": 1, "peerURLs": ["no URL"]}]}', json.dumps({"members": [{"ID": 1}] * 65})),
    ],
)
def test_malformed_members_are_refused(text: str) -> None:
    """Never a member with another number or address, and never a traceback."""
    with pytest.raises(BmkError, match="etcdctl"):
        members(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]]", '[{"endpoint": 5, "health": true}]', '[{"endpoint": "https://[", "health": true}]'),
        *('[{"endpoint": "", "health": true}]', json.dumps([{"endpoint": "https://a:1", "health": True}] * 65)),
    ],
)
def test_malformed_health_is_refused(text: str) -> None:
    """Whatever a control plane prints, it is a value or an error of bmk."""
    with pytest.raises(BmkError, match="etcdctl"):
        healthy(text, {})
