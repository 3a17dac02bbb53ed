"""kubeadm's addons against their patches: when a patch would change nothing, nothing is made anew."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import bmk_addons
from ansible.module_utils.bmk_batch import Failed
from hypothesis import given
from hypothesis import strategies as st

PATCH: dict[str, Any] = {
    "metadata": {"name": "kube-proxy"},
    "spec": {
        "containers": [
            {
                "name": "kube-proxy",
                "securityContext": {"privileged": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
                "volumeMounts": [{"mountPath": "/lib/modules", "$patch": "delete"}],
            }
        ],
        "volumes": [{"name": "lib-modules", "$patch": "delete"}],
    },
}
LIVE: dict[str, Any] = {
    "metadata": {"name": "kube-proxy", "uid": "x"},
    "spec": {
        "containers": [
            {
                "name": "kube-proxy",
                "image": "i",
                "securityContext": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
                "volumeMounts": [{"mountPath": "/var/lib/kube-proxy", "name": "kube-proxy"}],
            }
        ],
    },
}


def _changed(change: Any) -> dict[str, Any]:
    live = copy.deepcopy(LIVE)
    change(live["spec"], live["spec"]["containers"][0])
    return live


def test_what_a_patch_would_not_change_holds() -> None:
    """What the API adds, a false that it leaves out, and a volume that is away already are no difference."""
    assert bmk_addons.holds(PATCH, LIVE)
    assert bmk_addons.holds(PATCH, None), "an addon that somebody took away stays away"


@pytest.mark.parametrize(
    "change",
    [
        lambda _, container: container["securityContext"].update(privileged=True),
        lambda _, container: container["securityContext"].pop("capabilities"),
        lambda _, container: container["securityContext"]["capabilities"].update(add=["NET_ADMIN", "SYS_ADMIN"]),
        lambda _, container: container["volumeMounts"].append({"mountPath": "/lib/modules", "name": "lib-modules"}),
        lambda spec, _: spec.update(volumes=[{"name": "lib-modules", "hostPath": {"path": "/lib/modules"}}]),
        lambda spec, container: spec.update(containers=[{**container, "name": "other"}]),
    ],
)
def test_what_a_patch_would_change_does_not_hold(change: Any) -> None:
    """One capability more, a volume of the host back in, another container in its place: each is seen."""
    assert not bmk_addons.holds(PATCH, _changed(change))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_the_api_says_there_is_an_answer(live: Any) -> None:
    """An object of another shape than ours differs; it never ends the converge with a traceback."""
    assert bmk_addons.holds(PATCH, live) is (live is None)


def test_an_addon_is_made_anew_once_when_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kubeadm is asked for the one that differs, once, not in check mode, and its pods are waited for; when that does
    not help, it is said.
    """
    patches, live, asked = tmp_path / "patches", tmp_path / "live.json", tmp_path / "asked"
    patches.mkdir()
    (patches / "kubeproxydaemonset2+strategic.yaml").write_text(json.dumps(PATCH))
    (patches / "corednsdeployment2+strategic.yaml").write_text(json.dumps({"metadata": {"name": "coredns"}}))
    live.write_text(json.dumps(_changed(lambda _, c: c["securityContext"].update(privileged=True))))
    (tmp_path / "good.json").write_text(json.dumps(LIVE))
    kubectl, kubeadm = tmp_path / "kubectl", tmp_path / "kubeadm"
    other = '{"metadata": {"name": "coredns"}}'
    cases = f"*rollout*) echo rollout >> {asked};; *daemonset*) cat {live};; *) echo '{other}';;"
    kubectl.write_text(f'#!/bin/sh\ncase "$*" in {cases} esac\n')
    kubeadm.write_text(f'#!/bin/sh\necho "$4" >> {asked}\ncp {tmp_path}/good.json {live}\n')
    for program in (kubectl, kubeadm):
        program.chmod(0o755)
    monkeypatch.setattr(bmk_addons, "PATCHES", str(patches))
    monkeypatch.setattr(bmk_addons, "KUBECTL", str(kubectl))
    monkeypatch.setattr(bmk_addons, "KUBEADM", str(kubeadm))
    assert bmk_addons.reapply("c", {}, True) == ["kube-proxy"]
    assert not asked.exists()
    assert bmk_addons.reapply("c", {}, False) == ["kube-proxy"]
    assert bmk_addons.reapply("c", {}, False) == []
    assert asked.read_text().split() == ["kube-proxy", "rollout"]
    live.write_text(json.dumps(_changed(lambda _, c: c.pop("securityContext"))))
    (tmp_path / "good.json").write_text(live.read_text())
    with pytest.raises(Failed, match="still differs from its patches"):
        bmk_addons.reapply("c", {}, False)
