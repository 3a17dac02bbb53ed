"""The data center as Ansible sees it: the JSON of an inventory script. Pure; paths are computed, nothing is read."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bmk.datacenter.inert import Template
from bmk.datacenter.keys import vip_key_file
from bmk.datacenter.login import ssh_flags
from bmk.datacenter.masquerade import masquerade
from bmk.datacenter.model import Cluster
from bmk.datacenter.neighbours import Neighbour, neighbours
from bmk.datacenter.resolve import DataCenter, Host
from bmk.paths import state_dir

DEPLOYER = "deployer"  # the boot server's name in the inventory; no host may be called so


def ansible_inventory(dc: DataCenter, artifacts: Mapping[str, Any], timing: Mapping[str, str]) -> dict[str, Any]:
    """What `--list` prints, once it is inert: groups, and the variables of every host below `_meta`.

    `artifacts` holds `bmk_artifacts`, `bmk_images`, the registry's `certificate` and the clusters' `vip_keys`; `timing`
    is "standard" or "emulated" by host (absent: standard).
    """
    groups: dict[str, Any] = {"all": {"vars": _shared(dc, artifacts)}, "boot_server": {"hosts": [DEPLOYER]}}
    for cluster in dc.spec.clusters:
        known = cluster_vars(dc, cluster, artifacts.get("vip_keys", {}).get(cluster, ""))
        variables = {"bmk_cluster": known, "bmk_vip_key_file": str(vip_key_file(state_dir(dc.name), cluster))}
        groups[_group("cluster", cluster)] = {"hosts": [], "vars": variables}
    for host in dc.hosts.values():
        for group in groups_of(host):
            groups.setdefault(group, {"hosts": []})["hosts"].append(host.name)
    peering = {n: p for c in dc.spec.clusters for n, p in neighbours(dc.cluster(c).network, dc.members(c)).items()}
    hostvars = {
        h.name: host_vars(dc, h, timing.get(h.name, "standard"), peering.get(h.name, ())) for h in dc.hosts.values()
    }
    return {**groups, "_meta": {"hostvars": {**hostvars, DEPLOYER: _deployer(dc)}}}


def groups_of(host: Host) -> Iterator[str]:
    """Inventory groups of a host: its role, rack, profile and cluster."""
    yield host.role
    yield _group("rack", host.rack)
    yield _group("profile", host.profile_name)
    if host.cluster is not None:
        yield _group("cluster", host.cluster)


def host_vars(dc: DataCenter, host: Host, timing: str, peering: Sequence[Neighbour]) -> dict[str, Any]:
    """What `--host` prints: how to reach a host (with its pinned key only), and `bmk_host`."""
    state = state_dir(dc.name)
    return {
        "ansible_host": str(host.address),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(state / "ssh" / "id_ed25519"),
        "ansible_ssh_common_args": shlex.join(ssh_flags(state / "known_hosts")),
        "bmk_timing": timing,
        "bmk_host": {**_host(host), "neighbours": [asdict(neighbour) for neighbour in peering]},
    }


def cluster_vars(dc: DataCenter, name: str, vip_key: str) -> dict[str, Any]:
    """`bmk_cluster`: what every node of a cluster knows of the whole. `vip_key`: the mark of its key."""
    cluster = dc.cluster(name)
    members = dc.members(name)
    host, port = endpoint(dc, name)
    return {
        "name": name,
        "kubernetes": {"version": cluster.kubernetes.version},
        "endpoint": {"host": host, "port": port},
        "vip": str(cluster.endpoint.vip) if cluster.endpoint.vip else None,
        "vip_key": vip_key,
        "control_plane": [{"name": h.name, "address": str(h.address)} for h in members if h.role == "control_plane"],
        "several": len(members) > 1,
        "network": {**_network(cluster), "masquerade": asdict(found) if (found := masquerade(dc, name)) else None},
        "hardening": cluster.hardening.model_dump(mode="json"),
    }


def endpoint(dc: DataCenter, name: str) -> tuple[str, int]:
    """Host and port of a cluster's API: the external balancer, the VIP, or the one control plane."""
    at = dc.cluster(name).endpoint
    if at.external:
        host, _, port = at.external.partition(":")
        return host, int(port or at.port)
    if at.vip:
        return str(at.vip), at.port
    return str(dc.members(name, "control_plane")[0].address), at.port


def _shared(dc: DataCenter, artifacts: Mapping[str, Any]) -> dict[str, Any]:
    deployer = dc.spec.deployer
    return {
        "bmk_datacenter": dc.name,
        "bmk_deployer": {
            "address": str(deployer.address),
            "http_port": deployer.http_port,
            "registry_port": deployer.registry_port,
            "registry_certificate": artifacts.get("certificate", ""),
        },
        "bmk_artifacts": artifacts.get("bmk_artifacts", {}),
        "bmk_images": artifacts.get("bmk_images", {}),
    }


def _deployer(dc: DataCenter) -> dict[str, Any]:
    """The boot server is the machine that bmk runs on: the journal and the mirror are there."""
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": Template("{{ ansible_playbook_python }}"),
        "ansible_host": str(dc.spec.deployer.address),
    }


def _host(host: Host) -> dict[str, Any]:
    network = host.network
    return {
        "name": host.name,
        "role": host.role,
        "cluster": host.cluster,
        "rack": host.rack,
        "profile": host.profile_name,
        "serial": host.serial,
        "address": str(host.address),
        "prefix": network.cidr.prefixlen,
        "gateway": str(network.gateway) if network.gateway else None,
        "dns": [str(a) for a in network.dns],
        "ntp": list(network.ntp),
        "mtu": network.mtu,
        "macs": [nic.mac for nic in host.nics],
        "pods": str(host.pods) if host.pods else None,
        "labels": dict(host.labels),
    }


def _network(cluster: Cluster) -> dict[str, Any]:
    network = cluster.network
    return {
        "plugin": network.plugin,
        "pods": str(network.pods),
        "services": str(network.services),
        "node_prefix": network.node_prefix,
        "bgp": {
            "asn": network.bgp.asn,
            "peers": [str(p) for p in network.bgp.peers],
            "accept": [str(r) for r in network.bgp.accept],
        },
    }


def _group(kind: str, name: str) -> str:
    return f"{kind}_{name}".replace("-", "_")
