"""Files that roles wrote, places where an intruder leaves things, texts of files, the manifest of the last converge."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, model_validator

from bmk.drift.facts.fact import Fact, Found, Wanted, columns, words
from bmk.drift.kind import Items, Rule
from bmk.drift.model import Desired, Difference, Repair

MANIFEST_PATH = "/etc/bmk/manifest.json"

# Directories in which nothing may be that was not there when the last converge ended.
OWNED = (
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/bmk",
    "/etc/kubernetes/patches",
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/etc/containerd",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/network",
    "/root/.ssh",
    "/etc/sudoers.d",
    "/etc/ssh/sshd_config.d",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/var/spool/cron/crontabs",
    "/etc/pam.d",
    "/etc/profile.d",
    "/etc/ld.so.conf.d",
    "/etc/udev/rules.d",
    "/etc/modprobe.d",
    "/etc/tmpfiles.d",
    "/etc/apt/apt.conf.d",
    "/etc/apt/sources.list.d",
    "/etc/sysctl.d",
    "/etc/modules-load.d",
)
# Files that have to stay as they were, or absent when they were.
_FILES = (
    "/etc/apt/sources.list",
    MANIFEST_PATH,
    "/etc/crontab",
    "/etc/environment",
    "/etc/fstab",
    "/etc/hosts",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/rc.local",
    "/etc/ssh/sshd_config",
    "/etc/sudoers",
    "/root/.ssh/authorized_keys2",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
)
# Files that Kubernetes and the system renew: mode and owner count, the content does not.
_RENEWED = (
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/shadow",
)
_RENEWED_BELOW = ("/etc/kubernetes/pki",)
WATCHED = (*_FILES, *_RENEWED)
LISTED = (*OWNED, *_RENEWED_BELOW)
# Texts that the deployer never keeps: keys, and programs.
_NO_TEXT = (
    "/etc/bmk/*",
    "*/bin/*",
    "*/sbin/*",
    "*.key",
    "*.pem",
    "/etc/kubernetes/*.conf",
    "/etc/kubernetes/bmk/encryption*",
    "/etc/keepalived/authentication.conf",
    "/etc/shadow",
    "/root/.ssh/id_*",
)

_TYPES = {"f": "file", "d": "directory", "l": "link", "s": "file"}  # a socket has rights as a file has
_FORMAT = r"%y\t%m\t%u\t%g\t%l\t%p\n"


def _find(wanted: Wanted) -> str:
    """Two calls of find and one of sha256sum, however many files there are."""
    if not wanted.of("files") and not wanted.listed:
        return ""
    named, listed = words(wanted.of("files")) or "/nonexistent", words(wanted.listed) or "/nonexistent"
    # what bmk has only just begun to write does not count; below a depth of 3 nothing is configured
    some = f"find {listed} -mindepth 1 -maxdepth 3 ! -name '.bmk-*'"
    return (
        f"{{ find {named} -maxdepth 0 -printf '{_FORMAT}'; {some} -printf '{_FORMAT}'; }} | sort -u\n"
        f"{{ find {named} -maxdepth 0 -type f -print0; {some} -type f -print0; }} | sort -zu | xargs -0r sha256sum"
    )


def _parse_files(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        if "\t" in line:
            kind, mode, owner, group, target, path = columns(line, 6)
            link = kind == "l"
            found[path] = {"type": _TYPES.get(kind, "other")}
            found[path] |= {"target": target} if link else {"mode": mode.zfill(4), "owner": owner, "group": group}
        else:
            digest, _, path = line.partition("  ")
            if len(digest) != 64 or path not in found:
                raise ValueError(f"not a checksum: {line[:80]!r}")
            found[path]["sha256"] = digest
    return found


def _baseline(items: Items) -> Items:
    """All that is there, without the content of what is renewed; and which watched files are absent."""
    below = tuple(f"{directory}/" for directory in _RENEWED_BELOW)
    renewed = {path for path in items if path in _RENEWED or path.startswith(below)}
    there = {
        path: {a: value for a, value in of.items() if a != "sha256" or path not in renewed}
        for path, of in items.items()
    }
    return there | {path: {"type": "absent"} for path in _FILES if path not in items}


def _repair(difference: Difference, desired: Desired) -> Repair:
    """A role writes it, its text was kept, or it is too much and is removed."""
    unexpected = not difference.field and difference.want is None
    role = desired.owners.get(difference.item, "").startswith("role ")
    known = difference.id in desired.texts or difference.id == MANIFEST_PATH
    return "converge" if unexpected or role or known else ""


FILES = Fact(
    name="files",
    command=_find,
    parse=_parse_files,
    baseline=_baseline,
    closed=tuple(f"{directory}/*" for directory in OWNED),
    repair=_repair,
    rules=(
        Rule("/etc/kubernetes/manifests/*", "*", "security", "the kubelet runs whatever lies there, as root"),
        Rule("/etc/bmk/*", "*", "security", "the host changed its own record of what was set"),
        Rule("/root/.ssh*", "*", "security", "its keys and options open the account root"),
        Rule("/etc/sudoers*", "*", "security"),
        Rule("/etc/ssh/*", "*", "security"),
        Rule("/etc/cron*", "*", "security", "runs as root by the clock"),
        Rule("/etc/ld.so.preload", "*", "security", "is loaded into every process"),
        Rule("/etc/pam.d/*", "*", "security", "decides who gets in"),
        Rule("/etc/apt/*", "*", "security", "apt runs and installs what is named there, as root"),
        Rule("/etc/kubernetes/bmk/*", "*", "security", "what the API server admits, audits and encrypts"),
        Rule("*/bin/*", "sha256", "security", "other bytes than the lock names"),
        Rule("*/bin/*", "+", "security", "a program that nobody installed"),
        Rule("*/bin/*", "", "breaking"),
        Rule("/etc/cni/*", "*", "security", "the runtime executes what is named there, as root"),
        Rule("*/systemd/system/*", "*", "security", "systemd runs what is named there"),
        Rule("*", "mode", "security"),
        Rule("*", "owner", "security"),
        Rule("*", "group", "security"),
        Rule("*", "-", "breaking"),
        Rule("*", "*", "degraded"),
    ),
)


def keeps_text(path: str) -> bool:
    """Whether the deployer may keep what is in a file."""
    return not any(fnmatchcase(path, pattern) for pattern in _NO_TEXT)


_LONGEST = 65536  # bytes; a configuration file is shorter, and longer ones are not read
_ALL = 8 << 20  # bytes of all of them: an archive with holes is short, its content is not


def _archive(wanted: Wanted) -> str:
    """One archive of all of them: a process for each file took half of the time of a slow host."""
    if not wanted.texts:
        return ""
    never = " ".join(f"! -path {pattern}" for pattern in map(shlex.quote, _NO_TEXT))
    some = f"-maxdepth 3 -type f -size -{_LONGEST >> 10}k ! -name '.bmk-*' {never} -print0"
    return f"find {words(wanted.texts)} {some} | sort -zu | tar -cPf - --null --no-recursion -T - | base64 -w0"


def _parse_texts(lines: Sequence[str]) -> Found:
    packed = base64.b64decode("".join(lines), validate=True)
    try:
        return _texts(packed) if packed else {}
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error


def _texts(packed: bytes) -> Found:
    """Never more of a file than was asked for, whatever the archive says."""
    found: Found = {}
    total = 0
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() and member.size <= _LONGEST else None
            total += member.size if file is not None else 0
            if total > _ALL:
                raise ValueError(f"texts of more than {_ALL >> 20} MiB")
            if file is not None:
                found[member.name] = {"text": file.read().decode(errors="replace")}
    return found


TEXTS = Fact(name="texts", command=_archive, parse=_parse_texts, every_scan=False)

Leaf = str | int | float | bool | None
Value = Leaf | list[Leaf] | dict[str, Leaf]
_KEYS = {"files": "path", "downloads": "dest"}  # what names an item, by kind; `name` for the others


class _Item(BaseModel):
    """What a role set, as its batch module records it: a name, what was desired, and a few flags."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Value]

    desired: dict[str, Value]


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    inputs: str
    items: list[_Item]


class _Manifest(BaseModel):
    """Root on the host may have written it: what the baseline takes from it has the shape of ours."""

    model_config = ConfigDict(extra="ignore", strict=True)

    sections: dict[str, _Section]

    @model_validator(mode="after")
    def named(self) -> _Manifest:
        for section, body in self.sections.items():
            key = _KEYS.get(section.rpartition(".")[2], "name")
            if not all(isinstance((item.model_extra or {}).get(key), str) for item in body.items):
                raise ValueError(f"an item of {section[:80]!r} has no {key}")
        return self


def _parse_manifest(lines: Sequence[str]) -> Found:
    text = "\n".join(lines).strip()
    return {"manifest": _Manifest.model_validate_json(text).model_dump()} if text else {}


# What the last converge set, item by item. Believed only once it is in the signed baseline.
MANIFEST = Fact(
    name="manifest",
    command=lambda _: f"[ -f {MANIFEST_PATH} ] && cat {MANIFEST_PATH}",
    parse=_parse_manifest,
    every_scan=False,
)
