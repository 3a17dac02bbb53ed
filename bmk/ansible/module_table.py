"""Our Ansible modules: what each does, its options, the class of its action plug-in.

`scripts/models` writes `modules/` and `action/` from this table. A module needs besides: its entry in
`module_utils/bmk_entries.py` (what it does on a host) and in `MODELS` of `answers.py` (what it may answer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a module. Without a default it is required; `no_log` is Ansible's, None: its own guess."""

    type: Literal["str", "int", "bool", "dict", "list"]
    about: str
    default: Any = _REQUIRED
    choices: tuple[str, ...] = ()
    elements: str = ""
    no_log: bool | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """As in an argument spec."""
        spec: dict[str, Any] = {"type": self.type}
        spec |= {"required": True} if self.default is _REQUIRED else {"default": self.default}
        spec |= {"elements": self.elements} if self.elements else {}
        spec |= {"choices": list(self.choices)} if self.choices else {}
        return spec | ({} if self.no_log is None else {"no_log": self.no_log})


@dataclass(frozen=True, slots=True)
class BmkModule:
    """`action` is a class of probe_cache.py."""

    about: str
    description: tuple[str, ...]
    options: Mapping[str, Option]
    action: Literal["BatchModule", "CachedModule", "ManifestModule", "ProbeModule"] = "CachedModule"

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments that a task may leave out."""
        return {name: option.default for name, option in self.options.items() if option.default is not _REQUIRED}


def _batch(about: str, fields: str, *description: str) -> BmkModule:
    """A module that takes a list of items with these fields."""
    options = {
        "section": Option("str", "Name under which the list is recorded."),
        "after": Option("bool", "Something this depends on changed since the probe, so ask the host.", False),
        "items": Option("list", fields, elements="dict"),
    }
    described = description or (
        "Takes the whole list in one call; check mode, diff and a result per item.",
        "What was set is recorded under the section, so that C(bmk_probe) can tell later whether it still holds.",
    )
    return BmkModule(about, described, options, "BatchModule")


MODULES: Mapping[str, BmkModule] = {
    "bmk_applied": _batch(
        "Manifests that a control plane applies to its cluster", "name, path.",
        "Takes the whole list in one call; check mode and a result per item.",
        "Applied again when the file changes; what others changed in the cluster since stays as it is.",
    ),
    "bmk_downloads": _batch(
        "Files by URL and sha256, verified before use", "dest, url, sha256, size, mode, unpack."),
    "bmk_files": _batch(
        "Files, directories, links and absences of a host",
        "path, content, state, target, owner, group, mode, secret."),
    "bmk_groups": _batch("System groups with a fixed number and no members", "name, gid."),
    "bmk_kernel_modules": _batch("Kernel modules, loaded or built in", "name."),
    "bmk_kubeadm": BmkModule(
        "Run kubeadm init, join, upgrade or reset once, safe to be interrupted",
        (
            "A finished init or join is detected and left alone. An unfinished one is reset and done again.",
            "C(refresh) renders the files that kubeadm wrote once more and replaces those that differ.",
            "C(upgrade) brings a host to C(version), the first control plane with the whole cluster's configuration.",
            "C(reset) ends what runs and takes credentials and the data of etcd away.",
            "Waits for a run of kubeadm that an earlier, killed bmk left behind.",
        ),
        {
            "action": Option("str", "What to do.", choices=("init", "join", "refresh", "reset", "upgrade")),
            "cluster": Option("str", "Name of the cluster."),
            "config": Option("str", "kubeadm's configuration; holds secrets.", "", no_log=True),
            "settings": Option("str", "Configuration of an init on this host, to render files by.", ""),
            "version": Option("str", "With C(upgrade), the version that kubeadm brings the host to.", ""),
            "encryption": Option("str", "The file with the key of secrets at rest, of another host.", "", no_log=True),
            "environment": Option("dict", "Further environment variables of kubeadm.", {}),
            "for_good": Option("bool", "With C(reset), whether nothing of it starts at the next boot.", False),
        },
    ),
    "bmk_manifest": BmkModule(
        "Write the manifest of a host",
        (
            "Puts the records of all sections together in /etc/bmk/manifest.json, with the digest of what they were"
            " made from.",
        ),
        {
            "host": Option("str", "Name of the host."),
            "digest": Option("str", "Digest of the roles and of the variables of this host."),
            "keep": Option(
                "list", "Sections that still exist; records of others are deleted. Without it, none are.", None,
                elements="str"),
        },
        "ManifestModule",
    ),
    "bmk_packages": _batch("Operating system packages that must be there", "name."),
    "bmk_probe": BmkModule(
        "Facts of a host, and which recorded sections still hold, in one call",
        (
            "Returns the facts the roles use, notes on limits of the environment, the state of kubeadm, and for every"
            " recorded section whether it still holds.",
        ),
        {
            "sections": Option("bool", "Whether to compare the recorded sections, which reads files.", True),
            "digest": Option("str", "Manifest that the host should carry; sets current in the answer.", ""),
        },
        "ProbeModule",
    ),
    "bmk_sysctls": _batch("Kernel settings, live", "name, value."),
    "bmk_ticket": BmkModule(
        "Mint or revoke what one host needs to join a cluster",
        (
            "Runs on a control plane whose API answers. Nothing secret is ever in an argument list, a log or the"
            " journal.",
        ),
        {
            "state": Option(
                "str", "Mint a ticket, revoke it, or show the key of secrets at rest to a control plane that lost it.",
                choices=("minted", "revoked", "key")),
            "host": Option("str", "Host that the ticket is for."),
            "minutes": Option("int", "How long it is valid if nobody revokes it.", 15),
            "certificates": Option("str", "For a control plane, kubeadm configuration of the upload-certs phase.", ""),
            "token_id": Option("str", "Which token to revoke.", "", no_log=False),
        },
    ),
    "bmk_units": _batch(
        "Units of systemd, enabled and running with what is on disk", "name, state, enabled, watch, reload."),
    "bmk_users": _batch("System users with a fixed number, each with its group and no login", "name, uid."),
}  # fmt: skip
