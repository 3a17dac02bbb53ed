"""What hardening promises, seen in pods and from the host; what is broken is found, and provision repairs it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.containers.hardening.conftest import IMAGE, Place, namespace, pod, until

pytestmark = pytest.mark.containers
# Satisfies the Restricted profile completely, and says nothing of groups.
RESTRICTED = {"runAsUser": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
INSIDE = {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
NAMED = {**RESTRICTED, "runAsGroup": 3000, "supplementalGroups": [4000], "supplementalGroupsPolicy": "Strict"}
LABEL = "bmk.dev/nonroot-group"


def test_a_fresh_cluster_holds_every_control(place: Place) -> None:
    """0 fail and 0 unknown without a waiver; JSON, JUnit and the page have the same numbers."""
    report = place.report(0)
    assert (report["counts"]["fail"], report["counts"]["unknown"], report["counts"]["waived"]) == (0, 0, 0)
    assert report["counts"]["pass"] > 150
    html = place.lab.bmk("hardening", "-o", "html")
    shown = [int(n) for n in re.findall(r'<li><b class="\w+">(\d+)</b>', html)]
    assert shown == list(report["counts"].values())
    suites = ET.fromstring(place.lab.bmk("hardening", "-o", "junit"))
    assert (suites.get("failures"), suites.get("tests")) == ("0", str(len(report["results"])))


def test_nothing_of_kubernetes_is_an_exception(place: Place) -> None:
    """No static pod, no CoreDNS, no kube-proxy has group 0; namespaces that do not deny are named, and nothing else."""
    found = {(e["kind"], e["what"]) for e in place.report(0)["exceptions"]}
    names = ("default", "kube-node-lease", "kube-public", "kube-system")
    # containers have the kernel of this machine, and not every one can enforce NetworkPolicy
    poor = {e["what"] for e in place.report(0)["exceptions"] if "NetworkPolicy" in e["detail"]}
    assert found == {("namespace", name) for name in names} | {("node", name) for name in poor}


def test_kube_proxy_needs_roots_number_for_its_one_capability(place: Place) -> None:
    """`nft` with NET_ADMIN and nothing else: it works as user 0 with a group that is not root's, as another user never.

    The kernel takes capabilities from who has another number at the start of a program, and Kubernetes cannot ask for
    the ambient set, which alone would keep them.
    """
    image = IMAGE.replace("smoke:1", "kube-proxy:v1.37.2")
    inside = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}
    for user, phase in ((0, "Succeeded"), (957, "Failed")):
        context = {"runAsUser": user, "runAsGroup": 957, "supplementalGroupsPolicy": "Strict"}
        container = {"image": image, "command": ["nft", "add", "table", "ip", "probe"], "securityContext": inside}
        body = pod("default", f"nft-{user}", "", context, container=container, restartPolicy="Never")
        assert "created" in place.create(body)
        seen = f"-n default get pod nft-{user} -o jsonpath={{.status.phase}}"
        until(lambda asked=seen: place.kubectl(asked) in ("Succeeded", "Failed"))
        assert place.kubectl(seen) == phase
    assert "Operation not permitted" in place.log("default", "nft-957")


def test_kube_proxy_is_made_anew_when_somebody_gave_it_more(place: Place) -> None:
    """Its DaemonSet privileged again, by hand: the report says so, and one provision takes it back, on every node."""
    more = [{"op": "add", "path": "/spec/template/spec/containers/0/securityContext", "value": {"privileged": True}}]
    place.kubectl("-n kube-system patch ds kube-proxy --type=json -p", f"'{json.dumps(more)}'")
    place.kubectl("-n kube-system rollout status ds/kube-proxy --timeout=110s")
    until(lambda: place.failing(2) == {("cp-1", "proxy-identity"), ("worker-1", "proxy-identity")})
    place.lab.bmk("provision", "--yes")
    place.kubectl("-n kube-system rollout status ds/kube-proxy --timeout=110s")
    assert place.failing(0) == set()


def test_the_gap_is_reported_in_audit_refused_in_deny_and_closed_by_naming_a_group(place: Place) -> None:
    """A Restricted pod has gid 0: audit reports it, deny refuses it with our message, with a group it runs as asked."""
    assert "created" in place.create(namespace("gap", **{"pod-security.kubernetes.io/enforce": "restricted"}))
    until(lambda: "created" in place.create(pod("gap", "plain", "id", RESTRICTED, container=INSIDE)))
    assert re.search(r"uid=1000.* gid=0", place.log("gap", "plain"))
    owners = {e["what"]: e["detail"] for e in place.report(0)["exceptions"] if e["kind"] == "would-be-denied"}
    assert "runs with group 0: main" in owners["gap/Pod/plain"]
    place.kubectl("label", "namespace", "gap", f"{LABEL}=deny")
    refused = [""]

    def denied() -> bool:
        place.kubectl("-n", "gap", "delete", "pod", "again", "--now", "--ignore-not-found")
        refused[0] = place.create(pod("gap", "again", "id", RESTRICTED, container=INSIDE))
        return "created" not in refused[0]

    until(denied)
    assert "bmk: runAsGroup must be set and non-zero (or set hostUsers: false): main" in refused[0]
    assert "created" in place.create(pod("gap", "named", "id", NAMED, container=INSIDE))
    assert re.search(r"uid=1000.* gid=3000.* groups=3000,4000", place.log("gap", "named", 3).replace("\n", " "))
    status = json.loads(place.kubectl("-n", "gap", "get", "pod", "named", "-o", "json"))["status"]
    assert status["containerStatuses"][0]["user"]["linux"] == {
        "uid": 1000,
        "gid": 3000,
        "supplementalGroups": [3000, 4000],
    }


def test_an_images_groups_are_kept_out_by_strict(place: Place) -> None:
    """An image that adds its user to a group: Merge lets it in, Strict does not."""
    place.ssh("worker-1", "ctr -n k8s.io images import -", send=_image("bmk.test/groups:1"))
    here = {"image": "bmk.test/groups:1", "imagePullPolicy": "Never"}
    for policy, groups in (("Merge", "3000,50000"), ("Strict", "3000")):
        context = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroupsPolicy": policy}
        assert "created" in place.create(pod("default", policy.lower(), "id -G", context, container=here))
        assert set(place.log("default", policy.lower()).split()) == set(groups.split(","))


def test_a_pod_that_says_nothing_gets_little(place: Place) -> None:
    """No raw sockets, device nodes or audit records; seccomp on; few open files; ping and port 80 free."""
    seen = "/proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start"
    script = f"grep -E 'CapBnd|CapEff|Seccomp:|NoNewPrivs' /proc/1/status; cat {seen}; ulimit -Sn; ulimit -Hn"
    assert "created" in place.create(pod("default", "silent", script))
    said = place.log("default", "silent", 13).split()
    for name in ("CapBnd:", "CapEff:"):
        capabilities = int(said[said.index(name) + 1], 16)
        assert not capabilities & (1 << 13 | 1 << 27 | 1 << 29)  # CAP_NET_RAW, CAP_MKNOD, CAP_AUDIT_WRITE
    assert said[said.index("Seccomp:") + 1] == "2"
    assert said[8:11] == ["0", "2147483647", "0"]
    assert int(said[11]) <= 65536
    assert int(said[12]) <= 524288


def test_escalation_is_off_where_a_pod_says_so(place: Place) -> None:
    """allowPrivilegeEscalation: false is no_new_privs inside, so that no set-uid program of an image helps."""
    assert "created" in place.create(pod("default", "still", "grep NoNewPrivs /proc/1/status", NAMED, container=INSIDE))
    assert place.log("default", "still", 2).split() == ["NoNewPrivs:", "1"]


def test_the_sockets_group_has_nobody_in_it(place: Place) -> None:
    """660, root and a system group; an unprivileged user gets EACCES."""
    mode = place.ssh(
        "worker-1", "stat -c '%a %u %G' /run/containerd/containerd.sock /run/containerd/containerd.sock.ttrpc"
    )
    assert mode.splitlines() == ["660 0 bmk-cri"] * 2
    assert place.ssh("worker-1", "getent group bmk-cri").strip().endswith(":")
    refused = "setpriv --reuid 65534 --regid 65534 --clear-groups ctr -n k8s.io containers ls 2>&1"
    assert "permission denied" in place.ssh("worker-1", refused, check=False)


def test_a_drop_in_of_the_runtime_is_not_read(place: Place) -> None:
    """A file in conf.d changes nothing, as the configuration imports none; one that does would be changed by it."""
    dropped = 'version = 4\\n[plugins."io.containerd.cri.v1.runtime"]\\nenable_criu = true\\n'
    config, copy = "/etc/containerd/config.toml", "/run/importing.toml"
    script = f"""
        mkdir /etc/containerd/conf.d && printf '{dropped}' > /etc/containerd/conf.d/x.toml
        sed 's#^imports = .*#imports = ["/etc/containerd/conf.d/*.toml"]#' {config} > {copy}
        for file in {config} {copy}; do containerd --config $file config dump | grep enable_criu; done
        rm -r /etc/containerd/conf.d {copy}
    """
    assert place.ssh("worker-1", script).split() == ["enable_criu", "=", "false", "enable_criu", "=", "true"]


def test_secrets_are_encrypted_in_etcd(place: Place) -> None:
    """What etcd holds of a secret, from the first start, is not its value."""
    place.kubectl("create", "secret", "generic", "s", "--from-literal=k=canary-value")
    pki = "/etc/kubernetes/pki/etcd"
    tls = f"--cacert {pki}/ca.crt --cert {pki}/server.crt --key {pki}/server.key --endpoints https://127.0.0.1:2379"
    raw = place.ssh("cp-1", f"etcdctl {tls} get /registry/secrets/default/s | tr -d '\\0'")
    assert "k8s:enc:secretbox:v1:key1" in raw
    assert "canary-value" not in raw


def test_deny_refuses_what_brings_group_0_in_by_the_side(place: Place) -> None:
    """Group 0 of one container, of a volume, of what is added later: refused; added without, it runs as the pod."""
    assert "created" in place.create(namespace("strict"))
    assert "created" in place.create(pod("strict", "named", "id", NAMED))
    own = {"securityContext": {"runAsGroup": 0}}
    assert "must be set and non-zero" in place.create(pod("strict", "own", "id", NAMED, container=own))
    assert "bmk: fsGroup must not be 0" in place.create(pod("strict", "volume", "id", {**NAMED, "fsGroup": 0}))
    added = {"name": "bad", "image": IMAGE, **own}
    patch = json.dumps({"spec": {"ephemeralContainers": [added]}})
    asked = ("-n strict patch pod named --subresource=ephemeralcontainers --type=strategic -p", f"'{patch}'")
    assert "must be set and non-zero (or set hostUsers: false): bad" in place.kubectl(*asked, check=False)
    until(lambda: place.kubectl("-n strict get pod named -o jsonpath={.status.phase}") == "Running")
    place.kubectl("-n strict debug named --container=good --profile=restricted --image", IMAGE, "-- id -g")
    assert place.log("strict", "named -c good") == "3000\n"


def test_what_the_file_says_reaches_the_cluster(place: Place) -> None:
    """Another default and a waiver in dc.yml: plan says so, provision puts it in, pods meet it, the report shows it."""
    file = Path(place.lab.dc)
    text = file.read_text().replace("default: audit", "default: deny")
    waiver = "    - {control: node-binaries, reason: a tool of those on call, hosts: [worker-1]}\n"
    file.write_text(f"{text}  waivers:\n{waiver}")
    assert "put the admission policies in" in place.lab.bmk("plan", code=2)
    place.lab.bmk("provision", "--yes")
    until(lambda: "must be set and non-zero" in place.create(pod("default", "late", "id", RESTRICTED)))
    place.ssh("worker-1", "chmod 0777 /usr/local/bin/ctr")
    report = place.report(0)
    waived = [(r["where"], r["control"], r["reason"]) for r in report["results"] if r["state"] == "waived"]
    assert waived == [("worker-1", "node-binaries", "a tool of those on call")]


def test_a_host_that_is_silent_passes_nothing(place: Place) -> None:
    """A host that is off: its controls are unknown, the reason is shown, the exit code says that some are silent."""
    place.lab.bmk("power off", "worker-1", "--yes")
    report = place.report(4)
    assert {r["state"] for r in report["results"] if r["where"] == "worker-1"} == {"unknown"}
    assert {r["where"] for r in report["results"] if r["state"] == "unknown"} == {"worker-1"}
    assert [s["name"] for s in report["unreachable"]] == ["worker-1"]
    place.lab.bmk("power on", "worker-1", "--yes")
    until(lambda: not json.loads(place.lab.bmk("hardening", "-o", "json", code=None))["counts"]["unknown"])


def _image(name: str) -> bytes:
    """A docker archive of one layer: busybox, and a user whom /etc/group puts into group 50000."""
    binary = next(p for p in map(Path, ("/bin/busybox", "/usr/bin/busybox")) if p.exists()).read_bytes()
    files: list[tuple[str, bytes | None]] = [
        ("bin/busybox", binary),
        ("bin/sh", None),
        ("bin/id", None),
        ("bin/sleep", None),
    ]
    files += [("etc/passwd", b"app:x:1000:1000::/:/bin/sh\n"), ("etc/group", b"app:x:1000:\nextra:x:50000:app\n")]
    layer = _tar(files)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return _tar([("layer.tar", layer), ("config.json", config), ("manifest.json", manifest)])


def _tar(files: list[tuple[str, bytes | None]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files:
            entry: Any = tarfile.TarInfo(name)
            entry.mode = 0o755
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
