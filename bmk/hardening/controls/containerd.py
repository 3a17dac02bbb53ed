"""containerd as it runs: what `containerd config dump` says, and that the daemon began after its files were written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from bmk.hardening.control import PRIVILEGED_FILE, Control, Requirement, Verdict, files, holds, not_applicable, runtime
from bmk.hardening.evidence import NodeEvidence

_CRI, _RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
_IMAGES, _NRI, _VERIFIER = (
    "io.containerd.cri.v1.images",
    "io.containerd.nri.v1.nri",
    "io.containerd.image-verifier.v1.bindir",
)
_RUNC = ("containerd", "runtimes", "runc")
_VALIDATED = (
    "enable",
    "reject_oci_hook_adjustment",
    "reject_runtime_default_seccomp_adjustment",
    "reject_namespace_adjustment",
)
_CONFIG, _HOSTS = "/etc/containerd/config.toml", "/etc/containerd/certs.d/_default/hosts.toml"
_STALE = 2  # seconds: times of files and of processes are not of one clock


def _fresh(node: NodeEvidence) -> Verdict:
    began = node.started("containerd")
    if not began:
        return Verdict("unknown", "containerd does not run")
    newer = [f.path for f in node.files("/etc/containerd/*.toml", "/etc/containerd/*.json") if f.mtime > began + _STALE]
    return holds(not newer, f"changed since containerd began: {', '.join(newer)}" if newer else "began after its files")


def _schema(node: NodeEvidence) -> Verdict:
    """From the file: a dump has the schema that containerd migrated it to."""
    said = re.search(r"^version *= *(\d+)", node.raw["texts"].get(_CONFIG) or "", re.MULTILINE)
    version = said[1] if said else "not said"
    return holds(version in ("3", "4"), f"version = {version}")


def _whole(node: NodeEvidence) -> Verdict:
    """From the file: a dump has the default of this key, whatever the file says."""
    try:
        imports = tomllib.loads(node.raw["texts"].get(_CONFIG) or "").get("imports", "not set")
    except tomllib.TOMLDecodeError as error:
        return Verdict("unknown", f"{_CONFIG}: {error}")
    return holds(imports == [], f"imports = {imports}")


def _listens(node: NodeEvidence) -> Verdict:
    if not node.started("containerd"):
        return Verdict("unknown", "containerd does not run")
    outside = [at for at in node.listeners("containerd") if not at.startswith(("127.", "::1:"))]
    addresses = [
        f"{kind} {address}"
        for kind in ("grpc-tcp", "debug", "metrics")
        if (address := node.runtime(f"io.containerd.server.v1.{kind}", "address"))
    ]
    seen = outside + [a for a in addresses if "127.0.0.1" not in a]
    return holds(not seen, ", ".join(seen) or f"loopback only: {', '.join(node.listeners('containerd')) or 'none'}")


def _nri(node: NodeEvidence) -> Verdict:
    if not node.containerd:
        return Verdict("unknown", "no dump")
    if node.files("/run/nri/nri.sock"):
        return holds(False, "there is a socket: /run/nri/nri.sock")
    off, closed = node.runtime(_NRI, "disable"), node.runtime(_NRI, "disable_connections")
    missing = [key for key in _VALIDATED if node.runtime(_NRI, "default_validator", key) is not True]
    seen = f"disable = {off}, disable_connections = {closed}, not validated: {', '.join(missing) or 'nothing'}"
    return holds(closed is True and (off is True or not missing), seen)


def _systemd(node: NodeEvidence) -> Verdict:
    if node.facts["cgroup"] == 1:
        return not_applicable("cgroup v1: the machine around this node has no v2")
    return holds(node.runtime(_RUNTIME, *_RUNC, "options", "SystemdCgroup") is True, "SystemdCgroup, cgroup v2")


def _verifier(node: NodeEvidence) -> Verdict:
    """A pitfall each: a directory that others may write, and settings that leave the path on which verifiers run."""
    found = node.files("/etc/containerd/image-verifier")
    where = node.runtime(_VERIFIER, "bin_dir")
    if where != "/etc/containerd/image-verifier" or not found:
        return holds(False, f"bin_dir = {where}, {'there' if found else 'not there'}")
    wrong = [str(f) for f in (*found, *node.files("/etc/containerd/image-verifier/*")) if f.uid or f.mode & 0o022]
    aside = [
        name
        for name, bad in (
            ("use_local_image_pull", node.runtime(_IMAGES, "use_local_image_pull") is True),
            ("max_concurrent_downloads", node.runtime(_IMAGES, "max_concurrent_downloads") != 3),
            ("registry.mirrors", bool(node.runtime(_IMAGES, "registry", "mirrors"))),
            ("registry.configs", bool(node.runtime(_IMAGES, "registry", "configs"))),
        )
        if bad
    ]
    there = len(node.files("/etc/containerd/image-verifier/*"))
    seen = [*wrong, *(f"{name} skips verifiers" for name in aside)] or [f"{found[0]}, {there} verifiers"]
    return holds(not wrong and not aside, ", ".join(seen))


def _apparmor(node: NodeEvidence) -> Verdict:
    if node.facts["selinux"]:
        return holds(node.runtime(_RUNTIME, "enable_selinux") is True, "SELinux enforces here")
    seen = f"disable_apparmor = {node.runtime(_RUNTIME, 'disable_apparmor')}, kernel: {node.facts['apparmor']}"
    return holds(node.runtime(_RUNTIME, "disable_apparmor") is False, seen)


def _pinned(node: NodeEvidence) -> Verdict:
    registry, pause = (
        node.runtime(_IMAGES, "registry", "config_path"),
        node.runtime(_IMAGES, "pinned_images", "sandbox"),
    )
    settings = _hosts(node)
    mirror, ca = str(settings.get("server", "not said")), settings.get("ca")
    places = [(mirror, settings), *settings.get("host", {}).items()]
    known = all(place.startswith("https://") and _proves(said) for place, said in places)
    pinned = re.fullmatch(rf"{re.escape(mirror.removeprefix('https://'))}/[^@]+@sha256:[0-9a-f]{{64}}", str(pause))
    seen = f"config_path = {registry}, mirror = {mirror}, ca = {ca}, sandbox = {pause}"
    return holds(registry == "/etc/containerd/certs.d" and known and pinned is not None, seen)


def _hosts(node: NodeEvidence) -> dict[str, Any]:
    try:
        return tomllib.loads(node.raw["texts"].get(_HOSTS) or "")
    except tomllib.TOMLDecodeError:
        return {}


def _proves(host: Mapping[str, Any]) -> bool:
    """Whether a place that images come from has to prove who it is."""
    return host.get("ca") == "/etc/containerd/registry.crt" and not host.get("skip_verify")


CONTROLS = (
    Control(
        "runtime-config-live",
        "containerd runs with the configuration that is on disk",
        "high",
        "A file that was changed after the daemon began says nothing about what is in force.",
        Requirement("containerd.service began after the newest file in /etc/containerd", _fresh),
    ),
    Control(
        "runtime-config-schema",
        "containerd's configuration has a schema that it does not have to guess",
        "low",
        "With an older schema the sockets' tables are migrated, or silently ignored.",
        Requirement("version = 4 (containerd 2.3 and newer), 3 (2.0 to 2.2)", _schema),
    ),
    Control(
        "runtime-config-whole",
        "containerd's configuration is one file",
        "medium",
        "A drop-in undoes any setting, and whoever reads the file does not see it.",
        Requirement("imports = []: /etc/containerd/conf.d is not read", _whole),
    ),
    Control(
        "runtime-no-tcp",
        "containerd does not listen on the network",
        "high",
        "Neither its API nor its metrics know who is asking.",
        Requirement("no grpc-tcp, debug or metrics address; streaming on 127.0.0.1", _listens),
    ),
    Control(
        "runtime-stream-local",
        "Exec streams stay on loopback",
        "medium",
        "The streaming server has no authentication of its own.",
        runtime((_CRI, "disable_tcp_service"), lambda v: v is True, "disable_tcp_service = true"),
    ),
    Control(
        "runtime-nri-locked",
        "No plug-in can connect and change containers",
        "high",
        "An NRI plug-in may add mounts, hooks and devices to any container after admission has looked at it.",
        Requirement("disable = true, disable_connections = true, default_validator on; no /run/nri/nri.sock", _nri),
    ),
    Control(
        "runtime-no-criu",
        "Containers cannot be checkpointed",
        "low",
        "A checkpoint has all memory of a container in a file, secrets included.",
        runtime((_RUNTIME, "enable_criu"), lambda v: v in (False, None), "enable_criu = false"),
    ),
    Control(
        "runtime-image-volumes",
        "Images cannot declare volumes of their own",
        "low",
        "A VOLUME of an image is writable space that no pod asked for, also below a read-only root.",
        runtime((_RUNTIME, "ignore_image_defined_volumes"), lambda v: v is True, "ignore_image_defined_volumes = true"),
    ),
    Control(
        "runtime-unprivileged-net",
        "Containers need no capability for ping and port 80",
        "low",
        "Without it images ask for NET_RAW and NET_BIND_SERVICE back.",
        runtime(
            (_RUNTIME, "enable_unprivileged_ports"),
            lambda v: v is True,
            "enable_unprivileged_ports = true, enable_unprivileged_icmp = true",
        ),
    ),
    Control(
        "runtime-cgroup",
        "Containers are in systemd's cgroups, version 2",
        "medium",
        "Two managers of one tree undo each other's limits.",
        Requirement("SystemdCgroup = true; kubelet cgroupDriver: systemd, failCgroupV1: true", _systemd),
    ),
    Control(
        "runtime-image-verifier",
        "The directory of image verifiers is root's, and nothing goes around it",
        "medium",
        "An empty directory admits every image; a setting that falls back to the old way of pulling skips verifiers.",
        Requirement("bin_dir = '/etc/containerd/image-verifier' (0700); nothing that pulls the old way", _verifier),
        cis=("5.5.1",),
    ),
    Control(
        "runtime-registry",
        "Images come from the data center's mirror, which proves itself; the sandbox image is pinned",
        "high",
        "kubeadm names images by tags: who answers for the registry runs what he likes on a control plane.",
        Requirement(
            "hosts.toml: https with ca = registry.crt, for every registry; pinned_images.sandbox from there by digest",
            _pinned,
        ),
    ),
    Control(
        "runtime-lsm",
        "Containers are confined by AppArmor or SELinux where the kernel has it",
        "medium",
        "The last wall when a container escapes its namespaces.",
        Requirement("disable_apparmor = false; enable_selinux = true where SELinux enforces", _apparmor),
        cis=("5.6.3",),
    ),
    Control(
        "runtime-root",
        "Images and container roots are for root only",
        "medium",
        "Layers hold files of every user id, set-uid programs among them.",
        files("/var/lib/containerd", mode=0o700),
    ),
    Control(
        "runtime-state",
        "The runtime's state directory can be entered, not listed",
        "medium",
        "0700 would break pods with user namespaces; more than 0711 shows what runs.",
        files("/run/containerd", mode=0o711),
    ),
    Control(
        "runtime-config-files",
        "containerd's configuration is root's",
        "medium",
        PRIVILEGED_FILE,
        files("/etc/containerd/*.toml", "/etc/containerd/*.json", "/etc/containerd/certs.d/*/hosts.toml", mode=0o640),
    ),
)
