"""Controls as data: complete, explained, mapped; and what they say to evidence that was broken in one place."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.cli.hardening import exit_code
from bmk.hardening import addons, cis, policy
from bmk.hardening.apiserver import audit_policy
from bmk.hardening.assess import ControlResult, HardeningReport, NoEvidence, assess_node, assess_silent, repairable
from bmk.hardening.controls import BY_ID, CONTROLS
from bmk.hardening.controls.control_plane import _level
from bmk.hardening.evidence import NodeEvidence
from bmk.hardening.policy import mode_of
from bmk.report.hardening import as_html, as_junit

ROOT = Path(__file__).resolve().parents[3]
GROUPS = {"default": "warn", "namespaces": {"named": "deny"}, "exempt": ["kube-system"]}


@dataclass(frozen=True)
class Waiver:
    control: str
    reason: str = "it is a test"
    until: date | None = None
    hosts: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """The answer of a real control plane in a system container, fresh."""
    answer: dict[str, Any] = json.loads((Path(__file__).parent / "control-plane.json").read_text())
    return answer


def failing(raw: dict[str, Any]) -> set[str]:
    return {
        r.control for r in assess_node(NodeEvidence("cp-1", "control_plane", raw), ()) if r.state not in {"pass", "na"}
    }


def test_every_control_is_explained() -> None:
    """No two share an id, and each says what, why and how; what it prints is for people."""
    assert len(BY_ID) == len(CONTROLS)
    for control in CONTROLS:
        assert min(len(control.title), len(control.why), len(control.requirement.setting)) > 5, control.id


def test_every_id_of_cis_is_a_controls_or_has_a_reason() -> None:
    """All 131 ids of cis-1.12, sections 1 to 5: nobody's is none, and none is both."""
    assert len(cis.IDS) == 131
    assert cis.unmapped() == []
    assert set(cis.covered()) <= set(cis.IDS)
    assert not set(cis.covered()) & set(cis.NOT_APPLICABLE)


def test_the_documentation_is_what_the_controls_say() -> None:
    """docs/hardening.md is what scripts/hardening-reference writes now."""
    command = [sys.executable, ROOT / "scripts/hardening-reference", "--check"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0, "scripts/hardening-reference"


def test_a_fresh_control_plane_fails_nothing(seen: dict[str, Any]) -> None:
    """What bmk makes holds every control that is about it."""
    assert failing(seen) == set()


def _file(path: str, **change: int) -> Any:
    return lambda raw: raw["files"][path].update(change)


def _flag(process: str, name: str, value: str | None) -> Any:
    def change(raw: dict[str, Any]) -> None:
        kept = [a for a in raw["processes"][process]["args"] if not a.startswith(f"--{name}=")]
        raw["processes"][process]["args"] = kept + ([f"--{name}={value}"] if value is not None else [])

    return change


def _process(name: str, **change: Any) -> Any:
    return lambda raw: raw["processes"][name].update(change)


def _dump(old: str, new: str) -> Any:
    def change(raw: dict[str, Any]) -> None:
        assert old in raw["containerd"]["out"], old
        raw["containerd"]["out"] = raw["containerd"]["out"].replace(old, new)

    return change


def _text(path: str, old: str, new: str) -> Any:
    def change(raw: dict[str, Any]) -> None:
        assert old in raw["texts"][path], old
        raw["texts"][path] = raw["texts"][path].replace(old, new)

    return change


KUBELET = "/var/lib/kubelet/config.yaml"
SPEC = "/etc/containerd/base-spec.json"
SOCKET = "/run/containerd/containerd.sock"
# control -> what breaks it and nothing else
BREAKS: dict[str, Any] = {
    "runtime-socket-grpc": lambda raw: raw["sockets"][SOCKET].update(members=["eve"]),
    "runtime-socket-ttrpc": _file(f"{SOCKET}.ttrpc", mode=0o666),
    "runtime-socket-refuses": lambda raw: raw["sockets"][SOCKET].update(nobody="connected"),
    "runtime-config-live": lambda raw: raw["processes"]["containerd"].update(started=1.0),
    "runtime-config-schema": _text("/etc/containerd/config.toml", "version = 4", "version = 2"),
    "runtime-config-whole": _text(
        "/etc/containerd/config.toml", "imports = []", "imports = ['/etc/containerd/conf.d/*.toml']"
    ),
    "runtime-no-tcp": lambda raw: raw["listeners"].update(containerd=["0.0.0.0:1338"]),
    "runtime-stream-local": _dump("disable_tcp_service = true", "disable_tcp_service = false"),
    "runtime-nri-locked": _dump("disable_connections = true", "disable_connections = false"),
    "runtime-no-criu": _dump("enable_criu = false", "enable_criu = true"),
    "runtime-image-volumes": _dump("ignore_image_defined_volumes = true", "ignore_image_defined_volumes = false"),
    "runtime-unprivileged-net": _dump("enable_unprivileged_ports = true", "enable_unprivileged_ports = false"),
    "runtime-image-verifier": _dump("use_local_image_pull = false", "use_local_image_pull = true"),
    "runtime-registry": _dump("/pause@sha256:", "/pause:"),
    "runtime-lsm": _dump("disable_apparmor = false", "disable_apparmor = true"),
    "runtime-root": _file("/var/lib/containerd", mode=0o711),
    "runtime-state": _file("/run/containerd", mode=0o755),
    "runtime-config-files": _file("/etc/containerd/config.toml", mode=0o644),
    "container-capabilities": _text(SPEC, '"CAP_CHOWN"', '"CAP_NET_RAW"'),
    "container-nofile": _text(SPEC, "RLIMIT_NOFILE", "RLIMIT_CORE"),
    "container-no-new-privileges": _text(SPEC, '"noNewPrivileges": true', '"noNewPrivileges": false'),
    "container-user-namespaces": lambda raw: raw["sysctls"].update({"user.max_user_namespaces": "0"}),
    "kubelet-config-live": lambda raw: raw["processes"]["kubelet"].update(started=1.0),
    "kubelet-anonymous": _text(KUBELET, "anonymous:\n    enabled: false", "anonymous:\n    enabled: true"),
    "kubelet-authorization": _text(KUBELET, "mode: Webhook", "mode: AlwaysAllow"),
    "kubelet-client-ca": _text(KUBELET, "clientCAFile: /etc/kubernetes/pki/ca.crt", "clientCAFile: /tmp/ca.crt"),
    "kubelet-streaming-timeout": _text(
        KUBELET, "streamingConnectionIdleTimeout: 5m0s", "streamingConnectionIdleTimeout: 0s"
    ),
    "kubelet-iptables": _text(KUBELET, "makeIPTablesUtilChains: true", "makeIPTablesUtilChains: false"),
    "kubelet-events": _text(KUBELET, "eventRecordQPS: 50", "eventRecordQPS: 0"),
    "kubelet-rotate": _text(KUBELET, "rotateCertificates: true", "rotateCertificates: false"),
    "kubelet-serving-certificate": _text(KUBELET, "serverTLSBootstrap: true", "serverTLSBootstrap: false"),
    "kubelet-tls-floor": _text(KUBELET, "tlsMinVersion: VersionTLS12", "tlsMinVersion: VersionTLS10"),
    "kubelet-tls-ciphers": _text(KUBELET, "- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "- TLS_RSA_WITH_AES_128_CBC_SHA"),
    "kubelet-pids": _text(KUBELET, "podPidsLimit: 4096", "podPidsLimit: -1"),
    "kubelet-seccomp": _text(KUBELET, "seccompDefault: true", "seccompDefault: false"),
    "kubelet-user-namespaces": _text(KUBELET, "idsPerPod: 65536", "idsPerPod: 1000"),
    "kubelet-read-only-port": lambda raw: raw["texts"].update(
        {KUBELET: raw["texts"][KUBELET] + "readOnlyPort: 10255\n"}
    ),
    "kubelet-hostname": _flag("kubelet", "hostname-override", "other"),
    "kubelet-unit-file": _file("/etc/systemd/system/kubelet.service", mode=0o644),
    "kubelet-kubeconfig-file": _file("/etc/kubernetes/kubelet.conf", mode=0o640),
    "kubelet-config-file": _file(KUBELET, mode=0o644),
    "kubelet-root": _file("/var/lib/kubelet", mode=0o755),
    "node-binaries": _file("/usr/local/bin/kubelet", mode=0o777),
    "node-network": lambda raw: raw["sysctls"].update({"net.ipv4.conf.all.accept_redirects": "1"}),
    "node-forwarding": lambda raw: raw["sysctls"].update({"net.ipv4.ip_forward": "0"}),
    "node-sshd": lambda raw: raw["sshd"].update(passwordauthentication="yes"),
    "manifest-api": _file("/etc/kubernetes/manifests/kube-apiserver.yaml", mode=0o644),
    "manifest-cm": _file("/etc/kubernetes/manifests/kube-controller-manager.yaml", uid=1000),
    "manifest-scheduler": _file("/etc/kubernetes/manifests/kube-scheduler.yaml", mode=0o644),
    "manifest-etcd": _file("/etc/kubernetes/manifests/etcd.yaml", gid=1000),
    "etcd-data": _file("/var/lib/etcd", mode=0o750),
    "kubeconfig-admin": _file("/etc/kubernetes/admin.conf", mode=0o644),
    "kubeconfig-scheduler": _file("/etc/kubernetes/scheduler.conf", mode=0o644),
    "kubeconfig-cm": _file("/etc/kubernetes/controller-manager.conf", mode=0o644),
    "pki-owner": _file("/etc/kubernetes/pki", uid=1000),
    "pki-certificates": _file("/etc/kubernetes/pki/apiserver.crt", mode=0o664),
    "pki-keys": _file("/etc/kubernetes/pki/ca.key", mode=0o640),
    "api-files": _file("/etc/kubernetes/bmk/encryption.yaml", mode=0o644),
    "audit-files": _file("/var/log/kubernetes/audit", mode=0o755),
    "api-files-live": lambda raw: raw["processes"]["kube-apiserver"].update(started=1.0),
    "api-encryption-providers": lambda raw: raw["encryption"][0].update(providers=["identity", "secretbox"]),
    "audit-concerns": _text("/etc/kubernetes/bmk/audit-policy.yaml", '"Metadata"', '"RequestResponse"'),
    "pod-security": _text(
        "/etc/kubernetes/bmk/admission.yaml", '"enforce-version": "v1.37"', '"enforce-version": "latest"'
    ),
    "etcd-identity": _process("etcd", uids=[0] * 4),
    "api-identity": _process("kube-apiserver", groups=[954, 0]),
    "cm-identity": _process("kube-controller-manager", gids=[955, 955, 955, 0]),
    "scheduler-identity": _process("kube-scheduler", capabilities={"effective": 0, "bounding": 1 << 21}),
    "proxy-identity": _process("kube-proxy", gids=[0] * 4),
    "api-no-tokens": _flag("kube-apiserver", "token-auth-file", "/tmp/t"),
    "api-plugins": _flag("kube-apiserver", "disable-admission-plugins", "PodSecurity"),
    "api-kubelet-client": _flag("kube-apiserver", "kubelet-client-key", None),
    "api-kubelet-ca": _flag("kube-apiserver", "kubelet-certificate-authority", None),
    "api-authorization": _flag("kube-apiserver", "authorization-mode", "Node,RBAC,AlwaysAllow"),
    "api-profiling": _flag("kube-apiserver", "profiling", None),
    "api-audit-log": _flag("kube-apiserver", "audit-log-path", None),
    "api-audit-age": _flag("kube-apiserver", "audit-log-maxage", "3"),
    "api-audit-backups": _flag("kube-apiserver", "audit-log-maxbackup", None),
    "api-audit-size": _flag("kube-apiserver", "audit-log-maxsize", "1"),
    "api-request-timeout": _flag("kube-apiserver", "request-timeout", "0"),
    "api-service-account-lookup": _flag("kube-apiserver", "service-account-lookup", "false"),
    "api-service-account-key": _flag("kube-apiserver", "service-account-key-file", None),
    "api-etcd-client": _flag("kube-apiserver", "etcd-cafile", None),
    "api-serving": _flag("kube-apiserver", "tls-cert-file", None),
    "api-client-ca": _flag("kube-apiserver", "client-ca-file", None),
    "api-encryption": _flag("kube-apiserver", "encryption-provider-config", None),
    "api-tls-floor": _flag("kube-apiserver", "tls-min-version", "VersionTLS10"),
    "api-tls-ciphers": _flag("kube-apiserver", "tls-cipher-suites", None),
    "api-token-expiry": _flag("kube-apiserver", "service-account-extend-token-expiration", None),
    "cm-gc": _flag("kube-controller-manager", "terminated-pod-gc-threshold", "0"),
    "cm-profiling": _flag("kube-controller-manager", "profiling", "true"),
    "cm-credentials": _flag("kube-controller-manager", "use-service-account-credentials", "false"),
    "cm-keys": _flag("kube-controller-manager", "root-ca-file", None),
    "cm-rotate": _flag("kube-controller-manager", "feature-gates", "RotateKubeletServerCertificate=false"),
    "cm-local": _flag("kube-controller-manager", "bind-address", "0.0.0.0"),
    "scheduler-profiling": _flag("kube-scheduler", "profiling", None),
    "scheduler-local": _flag("kube-scheduler", "bind-address", "0.0.0.0"),
    "etcd-serving": _flag("etcd", "key-file", None),
    "etcd-clients": _flag("etcd", "client-cert-auth", "false"),
    "etcd-auto-tls": _flag("etcd", "auto-tls", "true"),
    "etcd-peer-serving": _flag("etcd", "peer-cert-file", None),
    "etcd-peers": _flag("etcd", "peer-client-cert-auth", None),
    "etcd-peer-auto-tls": _flag("etcd", "peer-auto-tls", "true"),
    "etcd-ca": _flag("etcd", "trusted-ca-file", "/etc/kubernetes/pki/ca.crt"),
    "etcd-tls-floor": _flag("etcd", "tls-min-version", None),
}


@pytest.mark.parametrize("control", sorted(BREAKS))
def test_breaking_one_thing_fails_exactly_its_control(seen: dict[str, Any], control: str) -> None:
    """Evidence that differs in one place fails the control that is about it, and no other."""
    raw = copy.deepcopy(seen)
    BREAKS[control](raw)
    assert failing(raw) == {control}


@pytest.mark.parametrize(
    "pause", ["docker.io/pause@{}", "10.57.0.1:5000/pause:3.10.2", "10.57.0.1:5000/p@sha256:12", ""]
)
def test_only_the_mirrors_sandbox_image_by_its_digest_counts(seen: dict[str, Any], pause: str) -> None:
    """An image of another registry, by a tag that can be moved, by half a digest or not named at all fails."""
    raw = copy.deepcopy(seen)
    named = f"sandbox = '{pause.format('sha256:' + '5c' * 32)}'"
    raw["containerd"]["out"] = re.sub("sandbox = '.*'", named, raw["containerd"]["out"])
    assert failing(raw) == {"runtime-registry"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        ('\n  ca = "/etc/containerd/registry.crt"', ""),
        ('"/etc/containerd/registry.crt"\n\n', '"/etc/ssl/certs/ca-certificates.crt"\n\n'),
        ('  ca = "/etc/containerd/registry.crt"', '  ca = "/etc/containerd/registry.crt"\n  skip_verify = true'),
    ],
)
def test_a_mirror_that_need_not_prove_itself_fails(seen: dict[str, Any], old: str, new: str) -> None:
    """Plain HTTP, no certificate of its own, everybody's authorities or none: somebody else could answer."""
    raw, hosts = copy.deepcopy(seen), "/etc/containerd/certs.d/_default/hosts.toml"
    assert old in raw["texts"][hosts]
    raw["texts"][hosts] = raw["texts"][hosts].replace(old, new)
    assert failing(raw) == {"runtime-registry"}


# What is not applicable in a container, what only shows with another control's file, and what is in the API.
ELSEWHERE = {"runtime-cgroup", "node-kernel", "kubelet-kernel-defaults", "kubelet-ca-file", "cni-files", "audit-policy"}


def test_every_control_of_a_node_has_a_negative_test() -> None:
    """A control that nobody ever saw failing is a hope."""
    nodes = {c.id for c in CONTROLS if c.requirement.scope != "cluster"}
    assert nodes - set(BREAKS) == ELSEWHERE


def test_an_emptied_audit_policy_fails(seen: dict[str, Any]) -> None:
    """Without rules nothing is written: that is one fault, and one control says so."""
    raw = copy.deepcopy(seen)
    raw["texts"]["/etc/kubernetes/bmk/audit-policy.yaml"] = '{"kind": "Policy"}'
    assert failing(raw) == {"audit-policy"}


def test_a_machine_of_its_own_is_held_to_more(seen: dict[str, Any]) -> None:
    """Outside of a container kernel settings, cgroups and protectKernelDefaults count."""
    raw = copy.deepcopy(seen)
    raw["facts"].update(container=False, cgroup=2)
    raw["sysctls"].update({"kernel.dmesg_restrict": "0"})
    raw["containerd"]["out"] = raw["containerd"]["out"].replace("SystemdCgroup = true", "SystemdCgroup = false")
    assert failing(raw) == {"node-kernel", "runtime-cgroup", "kubelet-kernel-defaults"}


@given(st.data())
def test_evidence_that_lost_a_part_never_crashes_nor_passes(data: st.DataObject) -> None:
    """Whatever part of an answer is missing or is something else, there is a verdict for every control."""
    raw = json.loads((Path(__file__).parent / "control-plane.json").read_text())
    key = data.draw(st.sampled_from(sorted(raw)))
    raw[key] = data.draw(st.sampled_from([None, {}, [], "x", 3]))
    results = list(assess_node(NodeEvidence("cp-1", "control_plane", raw), ()))
    assert len(results) == sum(c.requirement.scope != "cluster" for c in CONTROLS)
    assert all(r.state in ("pass", "fail", "na", "unknown") for r in results)


def test_a_waiver_is_shown_with_its_reason_and_only_where_it_counts(seen: dict[str, Any]) -> None:
    """A waived control is neither a pass nor a failure, and another host is not covered."""
    raw = copy.deepcopy(seen)
    BREAKS["runtime-no-criu"](raw)
    waivers = (Waiver("runtime-no-criu", hosts=("cp-1",)),)
    here, there = (
        {r.control: r for r in assess_node(NodeEvidence(name, "control_plane", raw), waivers)}["runtime-no-criu"]
        for name in ("cp-1", "cp-2")
    )
    assert (here.state, here.reason) == ("waived", "it is a test")
    assert there.state == "fail"


def test_a_silent_host_is_unknown_in_everything() -> None:
    """Who was not seen passes nothing, and is not configured again for it."""
    results = list(assess_silent(NoEvidence("cp-2", "control_plane", "ssh does not answer"), ()))
    assert {r.state for r in results} == {"unknown"}
    assert repairable([r for r in results if r.state != "unknown"], {}) == {}


def test_what_files_of_control_planes_decide_is_put_right_there() -> None:
    """Anonymous access seen in the API makes its control planes suspect; what others put into the API makes nobody."""
    results = [
        ControlResult("api-anonymous", "apps", "fail", "/api 403", "high", "T"),
        ControlResult("rbac-pods", "apps", "fail", "x", "medium", "T"),
        ControlResult("cm-gc", "cp-1", "fail", "x", "low", "T"),
        ControlResult("cm-gc", "cp-2", "pass", "x", "low", "T"),
    ]
    found = repairable(results, {"apps": ["cp-1", "cp-2"], "other": ["cp-3"]})
    assert found == {"cp-1": ["api-anonymous", "cm-gc"], "cp-2": ["api-anonymous"]}


def _report(*states: str) -> HardeningReport:
    results = tuple(
        ControlResult(
            f"c{i}",
            "cp <1>",
            state,
            'seen "&" <b>\x07',
            "high",
            "T",
            ("1.1.1",),
            "why <i>" if state == "waived" else "",
        )  # type: ignore[arg-type]
        for i, state in enumerate(states)
    )
    return HardeningReport("par", "2026-11-23T00:00:00+00:00", results)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("pass", "na", "waived"), 0),
        (("pass", "fail", "unknown"), 2),
        (("pass", "unknown"), 4),
        (("unknown", "unknown"), 5),
    ],
)
def test_exit_codes_never_hide_what_is_unknown(states: tuple[str, ...], code: int) -> None:
    """0 only when everything was seen and holds."""
    assert exit_code(_report(*states)) == code


class _Page(HTMLParser):
    """Counts states, and whatever would make the page need something from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, int] = {}
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        kind, _, state = (found.get("class") or "").partition(" ")
        if tag == "td" and kind == "state":
            self.states[state] = self.states.get(state, 0) + 1
        if tag in ("script", "link", "img", "iframe") or any(k in found for k in ("src", "href", "onclick", "style")):
            self.outside.append(tag)


def test_json_junit_and_page_agree() -> None:
    """The same report in three forms has the same numbers; what was seen cannot become markup, and nothing loads."""
    report = _report("pass", "fail", "waived", "na", "unknown", "fail")
    html, parser = as_html(report), _Page()
    parser.feed(html[html.index("Every control") :])
    assert parser.states == {k: v for k, v in report.as_dict()["counts"].items() if v}
    assert parser.outside == []
    assert "<b>" not in html.replace('<b class="', "").replace("<li><b>", "")
    suite = ET.fromstring(as_junit(report))
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("2", "1", "6")
    assert len(suite.findall(".//skipped")) == 2


@pytest.mark.parametrize(
    ("namespace", "labels", "mode"),
    [
        ("kube-system", {"bmk.dev/nonroot-group": "deny"}, "exempt"),
        ("named", {"bmk.dev/nonroot-group": "audit"}, "deny"),
        ("other", {"bmk.dev/nonroot-group": "audit"}, "audit"),
        ("other", {"bmk.dev/nonroot-group": "typo"}, "warn"),
        ("other", {}, "warn"),
    ],
)
def test_the_file_wins_then_the_label_then_the_default(namespace: str, labels: dict[str, str], mode: str) -> None:
    """The report sees a namespace's mode as the bindings do."""
    assert mode_of(namespace, labels, GROUPS) == mode


def test_policies_are_compared_by_what_is_wanted() -> None:
    """What the API adds is no difference; a changed, missing or left-over object of bmk is, somebody else's is not."""
    wanted = policy.objects(GROUPS)
    live = copy.deepcopy(wanted)
    for body in live:
        body["metadata"]["uid"] = "x"
        body["spec"]["added"] = "by the API"
    foreign = {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "theirs"}, "spec": {}}
    assert policy.differing(wanted, [*live, foreign]) == []
    left = {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "old", "labels": addons.MANAGED}, "spec": {}}
    changed = copy.deepcopy(live[1:])
    changed[0]["spec"]["failurePolicy"] = "Ignore"
    assert set(policy.differing(wanted, [*changed, left])) == {
        policy.key(wanted[0]),
        policy.key(wanted[1]),
        "ValidatingAdmissionPolicy/old",
    }


def test_the_audit_policy_covers_what_matters() -> None:
    """Secrets by name only; workloads with what was asked; nodes' own noise not at all."""
    rules = audit_policy()["rules"]
    assert _level(rules, "", "secrets") == "Metadata"
    assert _level(rules, "apps", "deployments") == "Request"
    assert _level(rules, "coordination.k8s.io", "leases") == "None"
    assert rules[-1] == {"level": "Metadata"}
