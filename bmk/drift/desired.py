"""What a host should look like: from its signed baseline, and from what the data center file says of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bmk.datacenter.resolve import Host
from bmk.drift.baseline import Baseline
from bmk.drift.facts import FACTS, Wanted
from bmk.drift.facts.files import LISTED, OWNED, WATCHED, keeps_text
from bmk.drift.model import Attributes, Desired
from bmk.drift.outside.nodes import CONFIG, desired_settings

Items = dict[str, dict[str, Attributes]]


def desired_of(host: Host, baseline: Baseline) -> Desired:
    """Everything that counts for this host."""
    facts: Items = {fact.name: dict(baseline.facts.get(fact.name, {})) for fact in FACTS if not fact.may_vanish}
    owners = {f"files:{path}": "kubeadm" for path in facts["files"] if path.startswith("/etc/kubernetes/")}
    for kind, name, attributes, owner in _recorded(baseline.sections):
        known = {**facts.setdefault(kind, {}).get(name, {}), **attributes} if kind != "files" else attributes
        facts[kind][name] = known
        owners[f"{kind}:{name}"] = owner
    for kind, name, attributes in _model(host, baseline):
        facts.setdefault(kind, {})[name] = attributes
        owners[f"{kind}:{name}"] = "dc.yml"
    if CONFIG in baseline.texts:
        facts["kubelet"] = dict(desired_settings(baseline.texts[CONFIG]))
        owners |= {f"kubelet:{name}": f"file {CONFIG}" for name in facts["kubelet"]}
    units = facts["units"]
    facts["units"] = {name: {"masked": False, **a} for name, a in units.items() if f"units:{name}" in owners}
    owned = tuple(pattern for fact in FACTS for pattern in fact.owned)
    there = {fact.name: baseline.facts.get(fact.name, {}) for fact in FACTS if fact.may_vanish}
    allowed = frozenset(f"{fact.name}:{id_}" for fact in FACTS for id_ in {*fact.allowed, *there.get(fact.name, ())})
    return Desired(facts, owned, allowed, owners, baseline.texts)


def wanted_of(desired: Desired) -> Wanted:
    """What to ask a host for, so that it can be compared."""
    return Wanted({kind: sorted(items) for kind, items in desired.facts.items()}, listed=LISTED)


def wanted_for_baseline(manifest: Mapping[str, Any]) -> Wanted:
    """What to ask a host that has just converged: what its manifest names, and what is watched on every host."""
    named: dict[str, set[str]] = {"files": set(WATCHED)}
    for kind, name, _, _ in _recorded(manifest.get("sections", {})):
        named.setdefault(kind, set()).add(name)
    texts = sorted(path for path in (*named["files"], *OWNED) if keeps_text(f"{path}/x") and keeps_text(path))
    return Wanted({kind: sorted(names) for kind, names in named.items()}, LISTED, texts)


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
    if kind in ("files", "downloads"):
        if kind == "downloads":
            if item.get("unpack"):
                return None  # its members are in the baseline: the directory is owned
            wanted["type"] = "file"
        return "files", str(item.get("path") or item.get("dest")), wanted
    if kind == "applied" or (kind == "sysctls" and not item.get("own", True)):
        return None
    return kind, str(item["name"]).replace("-", "_") if kind == "kernel_modules" else str(item["name"]), wanted


def _model(host: Host, baseline: Baseline) -> Iterator[tuple[str, str, Attributes]]:
    """What the file says of the machine."""
    network = host.network
    yield "network", f"address {host.address}", {"prefix": network.cidr.prefixlen}
    if network.gateway is not None:
        yield "network", "default route", {"gateway": str(network.gateway)}
    for number, nic in enumerate(host.nics):
        yield "network", f"nic {nic.mac}", {"up": True, "mtu": network.mtu} if number == 0 else {}
    if host.disk.serial and baseline.facts.get("disks"):  # a container has none of its own
        yield "disks", host.disk.serial, baseline.facts["disks"].get(host.disk.serial, {})
    yield "clock", "time", {"right": True}
    if network.ntp and baseline.facts.get("clock", {}).get("sync", {}).get("synchronised"):
        yield "clock", "sync", {"synchronised": True}
    if "firmware" in baseline.facts.get("kernel", {}):
        yield "kernel", "firmware", {"value": host.profile.firmware}
