"""What `validate` calls good, programs downstream call good too: each reads what bmk renders for every odd value."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from bmk.artifacts.mirror import open_mirror
from bmk.boot import dnsmasq
from bmk.cluster.kubeadm import Node, init_documents, join_documents
from bmk.cluster.kubeconfig import ClusterCredentials, kubeconfig
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.write import write_addresses
from bmk.paths import content_dir
from tests.unit.datacenter.conftest import GOOD

LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
VIP, NETWORK = "{vip: 10.1.0.10}", "{pods: 10.3.0.0/16, services: 10.4.0.0/16}"
WORDS = [
    *("d", "s", "w", "1a", "5dd", "0x10", "1e3", "0b1", "null", "true", "no", "on", "nan", "inf", "y", "x" * 63, "1-2"),
    *("server", "check", "default", "bgp", "pods", "device", "kernel", "static", "api", "tor1", "node", "set", "tag"),
]

# What is written, and what stands there instead.
ODD = {
    **{f"host {word}": ("{name: d,", f"{{name: {word!r},") for word in WORDS},
    **{f"cluster {word}": ("    one:\n", f"    {word!r}:\n") for word in ("true", "123", "1e3", "null", "x" * 63)},
    **{
        f"endpoint {at}": (VIP, f"{{external: '{at}'}}")
        for at in ("api.example.com", "a", "10.9.9.9:443", "x-1.y-2:65535", "0a.example:1", LONG)
    },
    **{f"VIP {vip}": (VIP, f"{{vip: {vip}}}") for vip in ("10.1.0.255", "10.1.255.1", "10.1.1.1")},
    **{f"port {port}": (VIP, f"{{vip: 10.1.0.10, port: {port}}}") for port in (1, 443, 8443, 65535)},
    "labels": (
        "labels: {role: worker}",
        "labels: {role: worker, a.b/x: '', y: '0012', z: 1e3, 0/0: 'true', n: 'null'}",
    ),
    "a label's longest key": ("labels: {role: worker}", f"labels: {{role: worker, {LONG}/{'k' * 63}: {'v' * 63}}}"),
    "a serial of signs": ("serial: S4", "serial: '/2VB9.XM2/ CN:7#+(a)@=*,-'"),
    "three name servers": ("dns: [10.1.0.2]", "dns: [10.1.0.2, 9.9.9.9, 10.1.0.3]"),
    "time servers": ("dns: [10.1.0.2]", f"dns: [10.1.0.2], ntp: [{LONG}, 10.1.0.2, a]"),
    "small packets": ("gateway: 10.1.0.1", "mtu: 1280"),
    "large packets": ("gateway: 10.1.0.1", "gateway: 10.1.0.1, mtu: 9216"),
    **{
        f"asn {asn}": (NETWORK, NETWORK[:-1] + f", bgp: {{asn: {asn}}}}}")
        for asn in (1, 23456, 65535, 65536, 4294967295)
    },
    "routers": (NETWORK, NETWORK[:-1] + ", bgp: {asn: 4200000000, peers: [10.1.0.250, 10.1.0.251]}}"),
    **{
        f"pods {pods} by {size}": (NETWORK, f"{{pods: {pods}, services: 10.4.0.0/16, node_prefix: {size}}}")
        for pods, size in (("10.3.0.0/16", 28), ("100.64.0.0/10", 24), ("100.64.0.0/12", 28), ("10.128.0.0/9", 16))
    },
    **{f"services /{n}": (NETWORK, f"{{pods: 10.3.0.0/16, services: 172.16.0.0/{n}}}") for n in (12, 27, 28)},
    "cilium": (NETWORK, NETWORK[:-1] + ", plugin: cilium, node_prefix: 26}"),
    "ports of the deployer": ("{address: 10.1.0.2}", "{address: 10.1.0.2, http_port: 65535, registry_port: 1}"),
}
NETWORKS = ("true", "1e3", "set", "x" * 63)
FACTS = {"cgroup": 2, "container": False, "nft_queue": True, "interfaces": {f"10.1.0.{n}": "eth0" for n in range(256)}}


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    """Where Ansible has its lookups."""
    init_plugin_loader()


@pytest.fixture(params=[*ODD, *(f"network {word}" for word in NETWORKS)])
def dc(request: pytest.FixtureRequest, tmp_path: Path) -> DataCenter:
    """A data center with one odd value, which `validate` calls good."""
    (tmp_path / "dc.yml").write_text(
        _spelled(*ODD[request.param]) if request.param in ODD else _called(request.param[8:])
    )
    write_addresses(tmp_path)
    return load_datacenter(tmp_path)


def _spelled(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def _called(word: str) -> str:
    """The network of the nodes by another name."""
    nics = GOOD.replace("    nodes:", f"    {word!r}:").replace('"}]', f'", network: {word!r}}}]')
    return nics.replace("    r1:\n", f"    r1:\n      networks: [{word!r}]\n")


def test_the_programs_accept_it(dc: DataCenter, tmp_path: Path) -> None:
    """kubeadm, kubectl, keepalived, haproxy, BIRD and dnsmasq find nothing wrong, on each kind of node."""
    (cluster,) = dc.spec.clusters
    (tmp_path / "vip.key").write_text("-k_y0Z9a")
    inventory = ansible_inventory(dc, {"vip_keys": {cluster: "mark"}}, {})
    shared = next(group["vars"] for group in inventory.values() if "bmk_cluster" in group.get("vars", {}))
    known = {**shared, "bmk_vip_key_file": str(tmp_path / "vip.key"), "bmk_probe": {"facts": FACTS}}
    wrong = list(_dnsmasq(dc, tmp_path))
    for host in (dc.members(cluster)[0], dc.members(cluster)[-1]):
        node = {**known, **inventory["_meta"]["hostvars"][host.name]}
        carries = host.role == "control_plane" and node["bmk_cluster"]["vip"]
        for program in (_kubeadm, _kubectl, _bird, *([_keepalived, _haproxy] if carries else [])):
            wrong += program(node, tmp_path)
    assert wrong == []


def _run(*argv: str) -> Iterator[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"{argv[0]}: {done.stdout}{done.stderr}"


def _dnsmasq(dc: DataCenter, place: Path) -> Iterator[str]:
    """The file of hosts is read only by a running server; the same lines as options are read by the test."""
    files = dnsmasq.render(dc, place)
    hosts = "".join(f"dhcp-host={line}\n" for line in files[dnsmasq.HOSTS].splitlines())
    options = "".join(f"dhcp-option={line}\n" for line in files[dnsmasq.OPTIONS].splitlines())
    (place / "dnsmasq.conf").write_text(files[dnsmasq.CONFIGURATION] + hosts + options)
    yield from _run("/usr/sbin/dnsmasq", "--test", f"--conf-file={place}/dnsmasq.conf")


def _kubeadm(node: dict[str, Any], place: Path) -> Iterator[str]:
    known = Node.of(node, FACTS)
    kubeadm = str(open_mirror().file("kubeadm").local)
    for documents in (init_documents(known), join_documents(known, f"{'a' * 6}.{'b' * 16}", f"sha256:{'0' * 64}")):
        (place / "kubeadm.yaml").write_text("".join(f"---\n{json.dumps(document)}\n" for document in documents))
        yield from _run(kubeadm, "config", "validate", "--config", f"{place}/kubeadm.yaml")


def _kubectl(node: dict[str, Any], place: Path) -> Iterator[str]:
    at = node["bmk_cluster"]["endpoint"]
    text = kubeconfig(node["bmk_cluster"]["name"], (at["host"], at["port"]), ClusterCredentials(b"a", b"b", b"c"))
    (place / "kubeconfig").write_text(text)
    yield from _run(str(open_mirror().file("kubectl").local), f"--kubeconfig={place}/kubeconfig", "config", "view")


def _keepalived(node: dict[str, Any], place: Path) -> Iterator[str]:
    """With a script to track it ends its test by a signal to itself; what it finds wrong is a line."""
    (place / "authentication.conf").write_text(_rendered("control_plane", "authentication.conf.j2", node))
    text = _rendered("control_plane", "keepalived.conf.j2", node)
    (place / "keepalived.conf").write_text(text.replace("/etc/keepalived/", f"{place}/"))
    argv = ["/usr/sbin/keepalived", "--log-console", "-t", "-f", f"{place}/keepalived.conf"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, start_new_session=True)
    yield from [f"keepalived: {line}" for line in (done.stdout + done.stderr).splitlines()]


def _haproxy(node: dict[str, Any], place: Path) -> Iterator[str]:
    (place / "haproxy.cfg").write_text(_rendered("control_plane", "haproxy.cfg.j2", node))
    yield from _run("/usr/sbin/haproxy", "-c", "-f", f"{place}/haproxy.cfg")


def _bird(node: dict[str, Any], place: Path) -> Iterator[str]:
    if node["bmk_cluster"]["network"]["plugin"] == "routed":
        (place / "bird.conf").write_text(_rendered("cluster_network", "bird.conf.j2", node))
        yield from _run("/usr/sbin/bird", "-p", "-c", f"{place}/bird.conf")


def _rendered(role: str, template: str, variables: dict[str, Any]) -> str:
    """A template of a role as Ansible makes it, with the role's own variables."""
    directory, loader = content_dir() / "roles" / role, DataLoader()
    own: dict[str, Any] = {}
    for file in ("defaults", "vars"):
        own |= loader.load_from_file(str(directory / file / "main.yml"), trusted_as_template=True)
    text = trust_as_template((directory / "templates" / template).read_text())
    return str(Templar(loader, {**own, "bmk_timing": "standard", **variables}).template(text))
