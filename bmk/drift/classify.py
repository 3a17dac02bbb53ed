"""How bad a difference is, whose it is and what to type: rules as data, the first that matches counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bmk.drift.baseline import MANIFEST
from bmk.drift.mask import masked_diff
from bmk.drift.model import Desired, Difference, Finding, Repair, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """`item` is a pattern over `kind:id`; `field` a field, "" (missing or unexpected), "+" (unexpected) or "*"."""

    item: str
    field: str
    severity: Severity
    note: str = ""


RULES: tuple[Rule, ...] = (
    Rule("files:/etc/kubernetes/manifests/*", "*", "security", "the kubelet runs whatever lies there, as root"),
    Rule("files:/etc/bmk/*", "*", "security", "the host changed its own record of what was set"),
    Rule("files:/root/.ssh*", "*", "security", "who is named there is root"),
    Rule("files:/etc/sudoers*", "*", "security"),
    Rule("files:/etc/ssh/*", "*", "security"),
    Rule("files:/etc/cron*", "*", "security", "runs as root by the clock"),
    Rule("files:/etc/ld.so.preload", "*", "security", "is loaded into every process"),
    Rule("files:/etc/pam.d/*", "*", "security", "decides who gets in"),
    Rule("files:/etc/apt/*", "*", "security", "apt runs and installs what is named there, as root"),
    Rule("files:/etc/kubernetes/bmk/*", "*", "security", "what the API server admits, audits and encrypts"),
    Rule("files:*/bin/*", "sha256", "security", "other bytes than the lock names"),
    Rule("files:*/bin/*", "+", "security", "a program that nobody installed"),
    Rule("files:*/bin/*", "", "breaking"),
    Rule("files:/etc/cni/*", "*", "security", "the runtime executes what is named there, as root"),
    Rule("files:*/systemd/system/*", "*", "security", "systemd runs what is named there"),
    Rule("files:*", "mode", "security"),
    Rule("files:*", "owner", "security"),
    Rule("files:*", "group", "security"),
    Rule("files:*", "*", "degraded"),
    Rule("authorized_keys:*", "*", "security", "opens the account by ssh"),
    Rule("users:*", "*", "security"),
    Rule("groups:*", "*", "security"),
    Rule("listeners:*", "*", "security", "answers whoever can reach the host"),
    Rule("bindings:*", "*", "security", "is administrator of the cluster"),
    Rule("images:*", "build", "degraded", "the mirror was built anew since"),
    Rule("images:*", "*", "security", "runs under a name of Kubernetes, and is nothing that the mirror holds"),
    Rule("routes:*", "*", "security", "leads traffic another way"),
    Rule("nftables:*", "*", "breaking", "pods reach what is outside otherwise than dc.yml says"),
    Rule("disks:*", "*", "breaking", "a disk is gone, or another one than it was"),
    Rule(
        "policies:Validating*",
        "*",
        "security",
        "admission lets in what it should not, or refuses what it should let in",
    ),
    Rule("policies:PodDisruptionBudget/*", "*", "degraded", "names may be away while nodes are drained"),
    Rule("policies:*", "*", "security", "what bmk runs in the cluster, what that may do, or who reaches whom"),
    Rule("packages:*", "", "breaking"),
    Rule("packages:*", "held", "benign"),
    Rule("packages:*", "*", "degraded"),
    Rule("units:*", "active", "breaking"),
    Rule("units:*", "masked", "breaking", "cannot be started any more"),
    Rule("units:*", "fresh", "benign", "runs with what was on disk when it started"),
    Rule("units:*", "*", "degraded"),
    Rule("sysctls:kernel.*", "*", "security"),
    Rule("sysctls:net.ipv4.conf.*", "*", "security"),
    Rule("sysctls:*", "*", "degraded"),
    Rule("kernel:cmdline", "*", "security"),
    Rule("kernel:firmware", "*", "degraded", "installed in one mode, booted in another"),
    Rule("kernel:*", "*", "degraded"),
    Rule("boot:*", "*", "degraded", "the next boot goes elsewhere"),
    Rule("mounts:swap *", "*", "breaking", "the kubelet refuses to start with swap"),
    Rule("mounts:*", "read_only", "breaking"),
    Rule("network:default route", "*", "breaking"),
    Rule("network:nic *", "mtu", "degraded"),
    Rule("network:nic *", "*", "degraded", "cable, switch port or NIC"),
    Rule("network:*", "*", "breaking"),
    Rule("certificates:*", "valid", "breaking"),
    Rule("certificates:*", "*", "degraded", "renew before it ends"),
    Rule("containerd:*", "*", "security"),
    Rule("kubelet:*", "*", "security", "runs with something else than its file says"),
    Rule("bmc:identity*", "*", "security", "another machine than the file describes"),
    Rule("bmc:Critical event *", "*", "breaking", "the machine told its BMC so after it was sealed"),
    Rule("bmc:Warning event *", "*", "degraded", "the machine told its BMC so after it was sealed"),
    Rule("bmc:boot*", "*", "degraded", "the next boot goes elsewhere"),
    Rule("nodes:* taint *", "*", "degraded", "decides which pods run there"),
    Rule("nodes:* label *", "*", "degraded", "decides which pods run there"),
    Rule("nodes:*", "*", "breaking"),
    Rule("*", "*", "degraded"),
)

_BY_CONVERGE = ("files", "packages", "units", "sysctls", "kernel_modules", "groups", "users")
_BY_PLAY = ("boot", "kubelet", "nftables")  # tasks of the play, not items of a role
_BY_API = ("nodes:* label *", "nodes:* taint *", "bindings:*", "policies:*")
_BY_BMC = ("bmc:boot",)


def judge(dc: str, where: str, difference: Difference, desired: Desired, texts: Mapping[str, str]) -> Finding:
    """A difference as people read it. `texts` is what files hold now, where it was brought."""
    rule = next(r for r in RULES if _matches(r, difference))
    severity = "breaking" if _gone(difference) and rule.severity == "degraded" else rule.severity
    repair = repair_of(difference, desired)
    diff = masked_diff(difference.id, desired.texts.get(difference.id), texts.get(difference.id))
    return Finding(
        where,
        difference,
        severity,
        desired.owners.get(difference.item, "the last converge"),
        repair,
        _next(dc, where, difference, repair),
        note=rule.note,
        diff=diff if difference.kind == "files" and difference.field in ("", "sha256") else "",
    )


def repair_of(difference: Difference, desired: Desired) -> Repair:
    """What `bmk provision` does about it."""
    if any(fnmatchcase(difference.item, pattern) for pattern in _BY_API):
        return "api" if difference.want is not None or difference.field == "" else ""
    if difference.item in _BY_BMC:
        return "bmc"
    if difference.kind in _BY_PLAY or difference.item.startswith("authorized_keys:root "):
        return "" if _without_order(difference) else "converge"
    if difference.kind == "files":
        return "converge" if _restorable(difference, desired) else ""
    if difference.kind == "packages" and difference.field:
        return ""
    return "converge" if difference.kind in _BY_CONVERGE and difference.item in desired.owners else ""


def _without_order(difference: Difference) -> bool:
    """It was started in the other mode of its firmware, in which there is no boot order."""
    return difference.kind == "boot" and not difference.field and difference.have is None


def _restorable(difference: Difference, desired: Desired) -> bool:
    """Roles write it, or its text was kept, or it is too much and goes."""
    unexpected = not difference.field and difference.want is None
    role = desired.owners.get(difference.item, "").startswith("role ")
    return unexpected or role or difference.id in desired.texts or difference.id == MANIFEST


def _matches(rule: Rule, d: Difference) -> bool:
    fields = ("*", d.field, "+") if not d.field and d.want is None else ("*", d.field)
    return rule.field in fields and fnmatchcase(d.item, rule.item)


def _gone(difference: Difference) -> bool:
    return not difference.field and difference.have is None and difference.kind in ("files", "units")


def _next(dc: str, where: str, difference: Difference, repair: Repair) -> str:
    if repair:
        return f"bmk provision {dc} --limit {where}"
    kind = "event" if fnmatchcase(difference.item, "bmc:* event *") else difference.kind
    kind = "build" if difference.field == "build" else kind
    look = _LOOK.get(difference.item, _LOOK.get(kind))
    if look is not None:
        return look.format(dc=dc, where=where, id=difference.id)
    return f"bmk ssh {dc} {where} to look; when it is right as it is: expected: in dc.yml"


_SETUP = "to set the firmware back in its setup; when it is meant: firmware: in dc.yml, and a new installation"
_INTRUDER = "when somebody else was on it: bmk reinstall {dc} {where}"
_LOOK = {
    "listeners": "bmk ssh {dc} {where} ss -tulnp",
    "users": f"bmk ssh {{dc}} {{where}} getent passwd; {_INTRUDER}",
    "authorized_keys": f"bmk ssh {{dc}} {{where}} to look whose key it is; {_INTRUDER}",
    "certificates": "bmk ssh {dc} {where} kubeadm certs check-expiration",
    "network": "bmk console {dc} {where}",
    "event": "bmk why {dc} {where}; when the machine is seen to, clear the event log of its BMC",
    "bmc": "bmk power status {dc} {where}",
    "nodes": "bmk why {dc} {where}",
    "build": "bmk plan {dc}: an upgrade brings it; until then it is expected: in dc.yml",
    "images": f"bmk ssh {{dc}} {{where}} ctr -n k8s.io images ls; {_INTRUDER}",
    "routes": "bmk ssh {dc} {where} ip route",
    "kernel:firmware": f"bmk console {{dc}} {{where}} {_SETUP}",
    "boot": f"bmk console {{dc}} {{where}} {_SETUP}",
    "disks": "bmk ssh {dc} {where} lsblk -o NAME,SERIAL,SIZE,STATE",
}
