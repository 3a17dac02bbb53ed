"""What a host may answer for a module, when whoever owns the host chooses every byte."""

from __future__ import annotations

import contextlib
import json
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.ansible.answers import LONGEST, MODELS, ModuleFacts, OddAnswer, heard

HARMLESS = {"changed", "failed", "msg", "items", "diff", "inputs", "facts", "notes", "sections", "bmk_outputs",
            "stdout", "token", "token_id", "ca_hash", "certificate_key", "encryption", "problem"}  # fmt: skip
STEERING = ["add_host", "add_group", "ansible_facts", "ansible_stats", "_ansible_no_log", "_ansible_parsed",
            "_ansible_delegated_vars", "invocation", "exception", "results", "warnings", "deprecations", "skipped",
            "unreachable", "bmk_known", "current", "ansible_job_id", "stderr"]  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(sorted({*HARMLESS, *STEERING})) | st.text(max_size=12)


FACTS = {"os": "debian", "os_version": "13", "kernel": "6", "architecture": "x86_64", "container": True, "cgroup": 2,
         "systemd": True, "sys_resource": True, "nofile_hard": 1, "swap": False, "memory_mb": 1, "cpus": 1,
         "user_namespaces": 1, "nftables": True, "nft_queue": True, "interfaces": {"10.0.0.1": "eth0"},
         "encryption": False, "kubeadm": {"state": "foreign", "found": ["/etc/kubernetes/kubelet.conf"]}}  # fmt: skip
LEAST = {
    **{name: {"items": [{"id": "x", "changed": True}]} for name in MODELS},
    "bmk_probe": {"facts": FACTS},
    "bmk_manifest": {"bmk_outputs": {"manifest": "m", "notes": [], "content": "c"}},
    "bmk_kubeadm": {"diff": {}},
    "bmk_ticket": {},
}


@pytest.mark.parametrize("key", STEERING)
@pytest.mark.parametrize("module", MODELS)
def test_no_answer_steers_the_play(module: str, key: str) -> None:
    """A key by which Ansible acts, or by which our plug-ins know that nothing was asked, is dropped."""
    host = {"host_name": "cp-1", "host_vars": {"ansible_ssh_common_args": "-o ProxyCommand=x"}}
    least = {"changed": True, **LEAST[module]}
    assert heard(module, json.dumps({**least, key: host})) == least
    assert heard(module, json.dumps({"failed": True, "msg": "m", key: host, **least})) == {
        "changed": True, "failed": True, "msg": "m"
    }  # fmt: skip


@pytest.mark.parametrize("module", sorted({*MODELS} - {"bmk_ticket", "bmk_kubeadm"}))
def test_an_answer_without_its_fields_is_garbage(module: str) -> None:
    """Nothing but steering is no answer of a module that has something to say."""
    with pytest.raises(OddAnswer, match=r"facts|items|bmk_outputs"):
        heard(module, json.dumps({"changed": True, "add_host": {"host_name": "cp-1"}}))


@given(st.sampled_from(sorted(MODELS)), st.dictionaries(keys, json_values))
def test_whatever_a_host_says_only_documented_fields_pass(module: str, said: dict[str, Any]) -> None:
    """Any JSON object is either refused as a whole or becomes a result of documented fields only."""
    try:
        result = heard(module, json.dumps(said))
    except OddAnswer:
        return
    assert set(result) <= HARMLESS
    assert isinstance(result["changed"], bool)


@given(st.sampled_from(sorted(MODELS)), st.text())
def test_what_is_no_answer_is_garbage(module: str, said: str) -> None:
    """Text that is no JSON object never raises anything but Garbage."""
    with contextlib.suppress(OddAnswer):
        heard(module, said)
        assert isinstance(json.loads(said), dict)


def test_an_answer_has_bounds() -> None:
    """Too long, too deep, and a field of another type are refused, with the place and not with the content."""
    with pytest.raises(OddAnswer, match="longer than 8 MiB"):
        heard("bmk_files", json.dumps({"msg": "x" * LONGEST}))
    with pytest.raises(OddAnswer):
        heard("bmk_files", '{"diff":' + "[" * 100_000)
    with pytest.raises(OddAnswer, match=r"sections\.a") as raised:
        heard(
            "bmk_probe",
            json.dumps({"facts": FACTS, "sections": {"a": {"inputs": "i", "holds": "secret-text", "differs": []}}}),
        )
    assert "secret-text" not in str(raised.value)


def test_a_ticket_has_the_shape_of_a_ticket() -> None:
    """What goes into another host's kubeadm configuration is a token and a digest, nothing that only looks like one."""
    good = {"token": "abcdef.0123456789abcdef", "token_id": "abcdef", "ca_hash": "sha256:" + 64 * "a"}
    assert heard("bmk_ticket", json.dumps(good)) == {"changed": False, **good}
    for key, odd in (("token", "abcdef.0123456789abcdef\n"), ("token_id", "--all"), ("ca_hash", "sha256:x")):
        with pytest.raises(OddAnswer, match=key):
            heard("bmk_ticket", json.dumps({**good, key: odd}))


def test_every_fact_that_a_host_tells_is_taken() -> None:
    """What the probe says and what is read of it are the same names, so no role decides by a fact that is dropped."""
    assert set(import_module("ansible.module_utils.bmk_facts").facts()) == set(ModuleFacts.model_fields)
