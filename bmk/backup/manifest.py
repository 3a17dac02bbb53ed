"""What is in a backup: the manifest, first member of its archive. Models, for who writes it and who reads it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bmk.backup.refusal import refused

MANIFEST, SNAPSHOT, JOURNAL, ABOUT = "manifest.json", "etcd/snapshot.db", "journal.jsonl", "about.json"
LARGEST_MANIFEST = 1 << 20
LARGEST_FILE = 1 << 20  # bytes of a file of a control plane; certificates and settings have a few KiB
LARGEST_JOURNAL = 4 << 30
_PKI = "/etc/kubernetes/pki"
_SETTINGS = "/etc/kubernetes/bmk"
# Certificate and key of each authority: what a cluster is recognised by.
AUTHORITIES = tuple((f"{_PKI}/{name}.crt", f"{_PKI}/{name}.key") for name in ("ca", "front-proxy-ca", "etcd/ca"))
TOKENS = (f"{_PKI}/sa.pub", f"{_PKI}/sa.key")
ENCRYPTION = f"{_SETTINGS}/encryption.yaml"
REQUIRED = (
    *(path for pair in (*AUTHORITIES, TOKENS) for path in pair),
    *(f"{_SETTINGS}/{name}.yaml" for name in ("admission", "audit-policy", "authentication")),
    ENCRYPTION,
)
# How kubeadm set this member up. Its ClusterConfiguration is an object of the API, and so in the snapshot.
OPTIONAL = (
    *(f"/etc/kubernetes/manifests/{name}.yaml" for name in ("kube-apiserver", "kube-controller-manager")),
    *(f"/etc/kubernetes/manifests/{name}.yaml" for name in ("kube-scheduler", "etcd")),
    *("/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"),
)
FILES = tuple(f"files{path}" for path in (*REQUIRED, *OPTIONAL))

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EtcdState(_Part):
    """What etcd held at `revision`: `keys` are those that live then, `hash` is etcd's own HashKV from `compacted` on.

    `cluster_id` and `member_id` in hexadecimal, `version` of the server.
    """

    cluster_id: Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]
    member_id: Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]
    version: Annotated[str, Field(pattern=r"^[0-9a-zA-Z.+-]{1,40}$")]
    revision: _Count
    compacted: Annotated[int, Field(ge=-1, lt=2**63)]
    keys: _Count
    hash: _Count


class ManifestFile(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-zA-Z0-9._/-]{0,98}$")]
    size: _Count
    sha256: _Sha256


class ProofSummary(_Part):
    """What was read through a scratch API server. `secrets` were decrypted; `kinds` were listed."""

    objects: _Count
    secrets: _Count
    kinds: _Count
    seconds: float


class BackupManifest(_Part):
    version: Literal[1] = Field(1, alias="schema")
    datacenter: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
    cluster: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,200}$")]
    at: float = Field(description="when it was begun, in seconds since the epoch")
    kubernetes: Annotated[str, Field(pattern=r"^[0-9.]{1,20}$")]
    source: _Sha256 = Field(description="sha256 of dc.yml as it was then")
    etcd: EtcdState
    files: Annotated[tuple[ManifestFile, ...], Field(max_length=64)]
    proof: ProofSummary | None = None

    def text(self) -> str:
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    def sized(self, name: str) -> ManifestFile | None:
        return next((file for file in self.files if file.name == name), None)


def parse(text: bytes) -> BackupManifest:
    """Raises BackupRefused for anything but a manifest whose files are those that a backup has."""
    try:
        found = BackupManifest.model_validate_json(text)
    except ValidationError as error:
        raise refused("strange", f"its manifest: {error.errors()[0]['msg']}"[:200]) from error
    names = [file.name for file in found.files]
    needed = {SNAPSHOT, JOURNAL, *(f"files{path}" for path in REQUIRED)}
    if missing := sorted(needed - set(names)):
        raise refused("incomplete", ", ".join(missing))
    if strange := sorted(set(names) - needed - set(FILES)) or len(set(names)) != len(names):
        raise refused("strange", f"its manifest names {strange}"[:200])
    return found


def path_of(name: str) -> str:
    """Where a member belongs on a control plane."""
    return str(PurePosixPath("/", *PurePosixPath(name).parts[1:]))
