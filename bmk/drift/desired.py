"""What a host should look like: from its seal, and from what the data center file says of the machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bmk.datacenter.resolve import Host
from bmk.drift import kubelet
from bmk.drift.baseline import Baseline, keeps_text
from bmk.drift.facts import Wanted
from bmk.drift.model import Attributes, Desired
from bmk.drift.watch_policy import CLOSED, FILES, KUBERNETES, LOOSE, LOOSE_BELOW, OWNED

Items = dict[str, dict[str, Attributes]]
_FILES = ("files", "downloads")


def desired_of(host: Host, seal: Baseline) -> Desired:
    """Everything that counts for this host."""
    facts: Items = {kind: dict(items) for kind, items in seal.facts.items() if kind not in ("listeners", "clock")}
    owners = {f"files:{path}": "kubeadm" for path in facts.get("files", {}) if path.startswith("/etc/kubernetes/")}
    for kind, name, attributes, owner in _recorded(seal.sections):
        known = {**facts.setdefault(kind, {}).get(name, {}), **attributes} if kind != "files" else attributes
        facts[kind][name] = known
        owners[f"{kind}:{name}"] = owner
    for kind, name, attributes in _model(host, seal):
        facts.setdefault(kind, {})[name] = attributes
        owners[f"{kind}:{name}"] = "dc.yml"
    if kubelet.CONFIG in seal.texts:
        facts["kubelet"] = dict(kubelet.desired_settings(seal.texts[kubelet.CONFIG]))
        owners |= {f"kubelet:{name}": f"file {kubelet.CONFIG}" for name in facts["kubelet"]}
    units = facts.get("units", {})
    facts["units"] = {name: {"masked": False, **a} for name, a in units.items() if f"units:{name}" in owners}
    allowed = frozenset(f"listeners:{name}" for name in seal.facts.get("listeners", {})) | KUBERNETES
    owned = (*(f"files:{d}/*" for d in OWNED), *CLOSED)
    return Desired(facts, owned, allowed, owners, seal.texts)


def wanted_of(desired: Desired) -> Wanted:
    """What to ask a host for, so that it can be compared."""
    ids = {kind: sorted(items) for kind, items in desired.facts.items()}
    return Wanted(ids, listed=(*OWNED, *LOOSE_BELOW))


def wanted_at_seal(manifest: Mapping[str, Any]) -> Wanted:
    """What to ask a host that has just converged: what its manifest names, and what is watched."""
    named: dict[str, set[str]] = {"files": {*FILES, *LOOSE}}
    for kind, name, _, _ in _recorded(manifest.get("sections", {})):
        named.setdefault(kind, set()).add(name)
    texts = sorted(path for path in (*named["files"], *OWNED) if keeps_text(f"{path}/x") and keeps_text(path))
    return Wanted({kind: sorted(names) for kind, names in named.items()}, (*OWNED, *LOOSE_BELOW), texts)


def _recorded(sections: Mapping[str, Any]) -> Iterator[tuple[str, str, Attributes, str]]:
    """(kind, id, attributes, owner) of every item that a role set and that a fact can see."""
    for section, body in sections.items():
        role, _, kind = section.rpartition(".")
        for item in body["items"]:
            found = _item(kind, item)
            if found is not None:
                yield (*found, f"role {role}")


def _item(kind: str, item: Mapping[str, Any]) -> tuple[str, str, Attributes] | None:
    wanted = dict(item["desired"])
    if kind in _FILES:
        if kind == "downloads":
            if item.get("unpack"):
                return None  # its members are sealed: the directory is owned
            wanted["type"] = "file"
        return "files", str(item.get("path") or item.get("dest")), wanted
    if kind == "sysctls" and not item.get("own", True):
        return None
    if kind == "applied":
        return None
    return kind, str(item["name"]).replace("-", "_") if kind == "kernel_modules" else str(item["name"]), wanted


def _model(host: Host, seal: Baseline) -> Iterator[tuple[str, str, Attributes]]:
    """What the file says of the machine."""
    network = host.network
    yield "network", f"address {host.address}", {"prefix": network.cidr.prefixlen}
    if network.gateway is not None:
        yield "network", "default route", {"gateway": str(network.gateway)}
    for number, nic in enumerate(host.nics):
        yield "network", f"nic {nic.mac}", {"up": True, "mtu": network.mtu} if number == 0 else {}
    if host.disk.serial and seal.facts.get("disks"):  # a container has none of its own
        yield "disks", host.disk.serial, seal.facts["disks"].get(host.disk.serial, {})
    yield "clock", "time", {"right": True}
    if network.ntp and seal.facts.get("clock", {}).get("sync", {}).get("synchronised"):
        yield "clock", "sync", {"synchronised": True}
    if "firmware" in seal.facts.get("kernel", {}):
        yield "kernel", "firmware", {"value": host.profile.firmware}
