"""The proof of a backup: restored into an etcd and an API server of their own, and compared with what it came from.

etcd serves on sockets in the scratch directory. The API server needs a port: it listens on the loopback, with a
certificate and a token that live as long as the proof, and lets nobody in without it.

Files and objects come from a control plane, and may be somebody's who took it over. No file of it is given to the API
server but keys, and what objects make it call (webhooks, extensions) goes to a socket that nobody serves.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bmk.backup import snapshot
from bmk.backup.encryption import inline_keys
from bmk.backup.manifest import SNAPSHOT, TOKENS, EtcdState, ProofSummary
from bmk.backup.pairs import check_pairs
from bmk.backup.reading import ScratchApi, read_objects
from bmk.backup.refusal import refused
from bmk.backup.scratch import Programs, run, serving
from bmk.errors import BmkError
from bmk.secrets.certificate import self_signed

_SECONDS = 600.0  # for each step of etcd; a snapshot of 8 GiB takes two minutes
_READY = 300.0  # for an API server to be ready, on slow machines
_CLIENTS, _PEERS = "unix://clients:1", "unix://peers:1"  # sockets of etcd, in the directory in which it runs


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """`root` holds the members of a backup; `source` is what its member said; `objects` so many are read at random.

    `services` is the range of Services of the cluster.
    """

    root: Path
    programs: Programs
    source: EtcdState
    services: str
    objects: int = 50


def prove(wish: ProofRequest, tell: Callable[[str], None]) -> ProofSummary:
    """Raises BackupRefused with a reason; nothing of the scratch etcd and API server is left then either."""
    began = time.monotonic()
    snapshot.check_hash(wish.root / SNAPSHOT)
    check_pairs(wish.root / "files")
    encryption = inline_keys(wish.root / "files")
    _restore(wish)
    with _etcd(wish):
        compare(wish.source, _state(wish))
        tell(f"etcd restored: revision {wish.source.revision}, {wish.source.keys} keys, hash {wish.source.hash}")
        with _api(wish, encryption) as api:
            read = read_objects(api, wish.source.revision, wish.objects, _encrypted(wish))
            tell(f"{read.objects} objects of {read.kinds} kinds read, {read.secrets} secrets decrypted")
    return ProofSummary(
        objects=read.objects, secrets=read.secrets, kinds=read.kinds, seconds=round(time.monotonic() - began, 1)
    )


def compare(source: EtcdState, restored: EtcdState) -> None:
    """Raises BackupRefused with what differs: `moved` when the source was compacted meanwhile, which another try
    mends.
    """
    if source.revision != restored.revision:
        raise refused("differs", f"revision {restored.revision}, of the member {source.revision}")
    if source.keys != restored.keys:
        raise refused("differs", f"{restored.keys} keys, of the member {source.keys}")
    if source.compacted != restored.compacted:
        raise refused("moved", f"compacted at {restored.compacted}, the member at {source.compacted}")
    if source.hash != restored.hash:
        raise refused("differs", f"HashKV {restored.hash}, of the member {source.hash}")


def _restore(wish: ProofRequest) -> None:
    command = [*_words(wish, "etcdutl"), "snapshot", "restore", SNAPSHOT, "--data-dir", "data", "--name", "proof"]
    command += ["--initial-cluster", f"proof={_PEERS}", "--initial-advertise-peer-urls", _PEERS]
    try:
        run(command, wish.root, _SECONDS)
    except BmkError as error:
        raise refused("unrestorable", f"{error.what}: {error.why}") from error


@contextmanager
def _etcd(wish: ProofRequest) -> Iterator[None]:
    urls = {"listen-client-urls": _CLIENTS, "advertise-client-urls": _CLIENTS, "listen-peer-urls": _PEERS}
    flags = [f"--{name}={value}" for name, value in urls.items()]
    argv = [*_words(wish, "etcd-server"), "--name=proof", "--data-dir=data", "--unsafe-no-fsync", *flags]
    try:
        with serving(argv, wish.root, lambda: _healthy(wish), _SECONDS):
            yield
    except BmkError as error:
        raise error if error.code == "backup" else refused("unrestorable", f"{error.what}: {error.why}") from error


def _healthy(wish: ProofRequest) -> bool:
    try:
        _ask(wish, "endpoint", "health")
    except BmkError:
        return False
    return True


def _state(wish: ProofRequest) -> EtcdState:
    """Of the restored etcd, at the revision of the snapshot: what is written since, as leases end, does not count."""
    said = run([*_words(wish, "etcdutl"), "snapshot", "status", SNAPSHOT, "--write-out", "json"], wish.root, _SECONDS)
    revision = snapshot.revision(said)
    keys = snapshot.count(
        _ask(wish, "get", "", "--prefix", "--count-only", "--rev", str(revision), "--write-out", "fields")
    )
    found = snapshot.hash_of(_ask(wish, "endpoint", "hashkv", "--rev", str(revision)))
    return wish.source.model_copy(update={"revision": revision, "keys": keys, **found})


def _encrypted(wish: ProofRequest) -> Callable[[str, str], bool]:
    """Whether a secret is encrypted as etcd holds it, by namespace and name."""

    def stored(namespace: str, name: str) -> bool:
        key = f"/registry/secrets/{namespace}/{name}"
        return "k8s:enc:" in _ask(wish, "get", key, "--print-value-only", "--write-out", "simple")[:64]

    return stored


def _ask(wish: ProofRequest, *words: str) -> str:
    shape = () if "--write-out" in words else ("--write-out", "json")
    endpoint = ("--endpoints", _CLIENTS, "--command-timeout", "300s")
    return run([*_words(wish, "etcdctl"), *endpoint, *words, *shape], wish.root, _SECONDS)


def _words(wish: ProofRequest, name: str) -> list[str]:
    return [str(wish.programs[name])]


@contextmanager
def _api(wish: ProofRequest, encryption: str) -> Iterator[ScratchApi]:
    """The API server over the restored etcd, with the keys of the backup."""
    token, pem = secrets.token_urlsafe(32), self_signed(wish.root / "serving.pem", "bmk proof", ["127.0.0.1"])
    _keep(wish.root / "tokens.csv", f"{token},proof,1,system:masters\n")
    _keep(wish.root / "encryption.json", encryption)
    _keep(wish.root / "egress.json", _egress(wish.root / "nobody"))
    port = _free_port()
    api = ScratchApi(port, token, pem)
    argv = [str(wish.programs["kube-apiserver"]), *(f"--{name}={value}" for name, value in _flags(wish, port).items())]
    try:
        with serving(argv, wish.root, api.ready, _READY):
            yield api
    except BmkError as error:
        raise error if error.code == "backup" else refused("api", f"{error.what}: {error.why}") from error


def _keep(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _egress(nobody: Path) -> str:
    """Whatever the API server would connect to, besides etcd, is asked of a proxy at a socket that is not there."""
    connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(nobody)}}}
    ways = [{"name": name, "connection": connection} for name in ("cluster", "controlplane")]
    kind = {"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration"}
    return json.dumps(kind | {"egressSelections": ways})


def _flags(wish: ProofRequest, port: int) -> dict[str, str]:
    files = wish.root / "files"
    public, private = (str(files / path.lstrip("/")) for path in TOKENS)
    pem = str(wish.root / "serving.pem")
    return {
        "etcd-servers": _CLIENTS,
        "encryption-provider-config": str(wish.root / "encryption.json"),
        "egress-selector-config-file": str(wish.root / "egress.json"),
        "disable-admission-plugins": "MutatingAdmissionWebhook,ValidatingAdmissionWebhook",
        "service-account-key-file": public,
        "service-account-signing-key-file": private,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-cluster-ip-range": wish.services,
        "token-auth-file": str(wish.root / "tokens.csv"),
        "anonymous-auth": "false",
        "authorization-mode": "RBAC",
        "bind-address": "127.0.0.1",
        "secure-port": str(port),
        "advertise-address": "192.0.2.10",  # for examples, never routed: nobody is to come here
        "endpoint-reconciler-type": "none",
        "cert-dir": str(wish.root / "certs"),
        "tls-cert-file": pem,
        "tls-private-key-file": pem,
        "watch-cache": "false",
        "profiling": "false",
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
