"""The data center as Ansible's inventory: the JSON of an inventory script, quoted against templates. Pure.

Ansible evaluates every string of an inventory and of a file of extra variables as a template, on the machine that runs
bmk. Such a string may come from a host (a path that drift found, an UEFI label) or from whoever proposes a change of
dc.yml. `{"__ansible_unsafe": TEXT}` is the JSON for a text that is never evaluated; texts without any character that a
template needs stay plain, so that people can read `bmk inventory`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bmk.datacenter.credentials import ssh_flags, vip_key_file
from bmk.datacenter.model import Cluster
from bmk.datacenter.resolve import DataCenter, Host
from bmk.datacenter.routing import Neighbour, masquerade, neighbours
from bmk.errors import ConfigError

_PLAIN = re.compile(r"[\w@+=:,./ -]*", re.ASCII)
_RESERVED = "__ansible"  # keys by which JSON tells Ansible what a value is
_DEEPEST = 64


class Template(str):
    """A constant of bmk that Ansible has to evaluate; never made from data."""

    __slots__ = ()


def inert(value: Any, depth: int = _DEEPEST) -> Any:
    """The value as JSON in which no text is a template for Ansible, at any depth; types that JSON lacks become text.

    Raises ConfigError for a reserved key and for a value nested too deep: what Ansible's JSON reader refuses it reads
    as YAML, where every text is a template.
    """
    if depth < 0:
        raise ConfigError(f"values for Ansible are nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {_key(key): inert(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [inert(inner, depth - 1) for inner in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str.__str__(value) if isinstance(value, Template) else _text(str(value))


def _key(key: Any) -> str:
    """A key as text: Ansible never evaluates keys."""
    text = _readable(str(key))
    if text.startswith(_RESERVED):
        raise ConfigError(f"a mapping for Ansible has the reserved key {text!r}", hint="call it something else")
    return text


def _text(text: str) -> str | dict[str, str]:
    text = _readable(text)
    return text if _PLAIN.fullmatch(text) else {"__ansible_unsafe": text}


def _readable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can carry them and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


DEPLOYER = "deployer"  # the boot server's name in the inventory; no host may be called so


def ansible_inventory(dc: DataCenter, artifacts: Mapping[str, Any], timing: Mapping[str, str]) -> dict[str, Any]:
    """What `--list` prints, after `inert`: groups, and the variables of every host below `_meta`.

    `artifacts` holds `bmk_artifacts`, `bmk_images`, the registry's `certificate` and the clusters' `vip_keys`; in
    `releases`, by version of Kubernetes, the first two of clusters that have another one. `timing` is "standard" or
    "emulated" by host (absent: standard).
    """
    groups: dict[str, Any] = {"all": {"vars": _shared(dc, artifacts)}, "boot_server": {"hosts": [DEPLOYER]}}
    for cluster in dc.spec.clusters:
        known = cluster_vars(dc, cluster, artifacts.get("vip_keys", {}).get(cluster, ""))
        release = artifacts.get("releases", {}).get(dc.cluster(cluster).kubernetes.version, {})
        variables = {**release, "bmk_cluster": known, "bmk_vip_key_file": str(vip_key_file(dc.state, cluster))}
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
    state = dc.state
    return {
        "ansible_host": str(host.address),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(state / "ssh" / "id_ed25519"),
        "ansible_ssh_common_args": shlex.join(ssh_flags(state / "known_hosts")),
        "bmk_timing": timing,
        "bmk_host": {**_host(host), "neighbours": [asdict(neighbour) for neighbour in peering]},
    }


def cluster_vars(dc: DataCenter, name: str, vip_key: str) -> dict[str, Any]:
    """`bmk_cluster`: what every node of a cluster knows of the whole. `vip_key`: the hash of its key."""
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
    """The boot server is the machine that runs bmk, with the journal and the mirror."""
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
