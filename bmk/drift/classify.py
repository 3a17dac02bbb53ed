"""How bad a difference is, whose it is and what to type: rules as data, the first that matches counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bmk.drift.baseline import MANIFEST
from bmk.drift.mask import masked_diff
from bmk.drift.model import Desired, Difference, Finding, Repair, Severity


@dataclass(frozen=True, slots=True)
class ClassifyRule:
    """`item` is a pattern over `kind:id`; `field` a field, "" (missing or unexpected), "+" (unexpected) or "*"."""

    item: str
    field: str
    severity: Severity
    note: str = ""


RULES: tuple[ClassifyRule, ...] = (
    ClassifyRule("files:/etc/kubernetes/manifests/*", "*", "security", "the kubelet runs whatever lies there, as root"),
    ClassifyRule("files:/etc/bmk/*", "*", "security", "the host changed its own record of what was set"),
    ClassifyRule("files:/root/.ssh*", "*", "security", "who is named there is root"),
    ClassifyRule("files:/etc/sudoers*", "*", "security"),
    ClassifyRule("files:/etc/ssh/*", "*", "security"),
    ClassifyRule("files:/etc/cron*", "*", "security", "runs as root by the clock"),
    ClassifyRule("files:/etc/ld.so.preload", "*", "security", "is loaded into every process"),
    ClassifyRule("files:/etc/pam.d/*", "*", "security", "decides who gets in"),
    ClassifyRule("files:/etc/apt/*", "*", "security", "apt runs and installs what is named there, as root"),
    ClassifyRule("files:/etc/kubernetes/bmk/*", "*", "security", "what the API server admits, audits and encrypts"),
    ClassifyRule("files:*/bin/*", "sha256", "security", "other bytes than the lock names"),
    ClassifyRule("files:*/bin/*", "+", "security", "a program that nobody installed"),
    ClassifyRule("files:*/bin/*", "", "breaking"),
    ClassifyRule("files:/etc/cni/*", "*", "security", "the runtime executes what is named there, as root"),
    ClassifyRule("files:*/systemd/system/*", "*", "security", "systemd runs what is named there"),
    ClassifyRule("files:*", "mode", "security"),
    ClassifyRule("files:*", "owner", "security"),
    ClassifyRule("files:*", "group", "security"),
    ClassifyRule("files:*", "*", "degraded"),
    ClassifyRule("authorized_keys:*", "*", "security", "opens the account by ssh"),
    ClassifyRule("users:*", "*", "security"),
    ClassifyRule("groups:*", "*", "security"),
    ClassifyRule("listeners:*", "*", "security", "answers whoever can reach the host"),
    ClassifyRule("bindings:*", "*", "security", "is administrator of the cluster"),
    ClassifyRule("images:*", "build", "degraded", "the mirror was built anew since"),
    ClassifyRule("images:*", "*", "security", "runs under a name of Kubernetes, and is nothing that the mirror holds"),
    ClassifyRule("routes:*", "*", "security", "leads traffic another way"),
    ClassifyRule("nftables:*", "*", "breaking", "pods reach what is outside otherwise than dc.yml says"),
    ClassifyRule("disks:*", "*", "breaking", "a disk is gone, or another one than it was"),
    ClassifyRule(
        "policies:Validating*",
        "*",
        "security",
        "admission lets in what it should not, or refuses what it should let in",
    ),
    ClassifyRule("policies:PodDisruptionBudget/*", "*", "degraded", "names may be away while nodes are drained"),
    ClassifyRule("policies:*", "*", "security", "what bmk runs in the cluster, what that may do, or who reaches whom"),
    ClassifyRule("packages:*", "", "breaking"),
    ClassifyRule("packages:*", "held", "benign"),
    ClassifyRule("packages:*", "*", "degraded"),
    ClassifyRule("units:*", "active", "breaking"),
    ClassifyRule("units:*", "masked", "breaking", "cannot be started any more"),
    ClassifyRule("units:*", "fresh", "benign", "runs with what was on disk when it started"),
    ClassifyRule("units:*", "*", "degraded"),
    ClassifyRule("sysctls:kernel.*", "*", "security"),
    ClassifyRule("sysctls:net.ipv4.conf.*", "*", "security"),
    ClassifyRule("sysctls:*", "*", "degraded"),
    ClassifyRule("kernel:cmdline", "*", "security"),
    ClassifyRule("kernel:firmware", "*", "degraded", "installed in one mode, booted in another"),
    ClassifyRule("kernel:*", "*", "degraded"),
    ClassifyRule("boot:*", "*", "degraded", "the next boot goes elsewhere"),
    ClassifyRule("mounts:swap *", "*", "breaking", "the kubelet refuses to start with swap"),
    ClassifyRule("mounts:*", "read_only", "breaking"),
    ClassifyRule("network:default route", "*", "breaking"),
    ClassifyRule("network:nic *", "mtu", "degraded"),
    ClassifyRule("network:nic *", "*", "degraded", "cable, switch port or NIC"),
    ClassifyRule("network:*", "*", "breaking"),
    ClassifyRule("certificates:*", "valid", "breaking"),
    ClassifyRule("certificates:*", "*", "degraded", "renew before it ends"),
    ClassifyRule("containerd:*", "*", "security"),
    ClassifyRule("kubelet:*", "*", "security", "runs with something else than its file says"),
    ClassifyRule("bmc:identity*", "*", "security", "another machine than the file describes"),
    ClassifyRule("bmc:Critical event *", "*", "breaking", "the machine told its BMC so after it was sealed"),
    ClassifyRule("bmc:Warning event *", "*", "degraded", "the machine told its BMC so after it was sealed"),
    ClassifyRule("bmc:boot*", "*", "degraded", "the next boot goes elsewhere"),
    ClassifyRule("nodes:* taint *", "*", "degraded", "decides which pods run there"),
    ClassifyRule("nodes:* label *", "*", "degraded", "decides which pods run there"),
    ClassifyRule("nodes:*", "*", "breaking"),
    ClassifyRule("*", "*", "degraded"),
)

_BY_CONVERGE = ("files", "packages", "units", "sysctls", "kernel_modules", "groups", "users")
_BY_PLAY = ("boot", "kubelet", "nftables")  # tasks of the play, not items of a role
_BY_API = ("nodes:* label *", "nodes:* taint *", "bindings:*", "policies:*")
_BY_BMC = ("bmc:boot",)


def classify(dc: str, where: str, difference: Difference, desired: Desired, texts: Mapping[str, str]) -> Finding:
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


def _matches(rule: ClassifyRule, d: Difference) -> bool:
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
