"""What was seen of one node and of a cluster's API, as checks read it. Pure: answers in, values out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from bmk.document import parse_document
from bmk.errors import ConfigError

KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
_ON_NODE = Path(__file__).with_name("on_node.py")
_MARK = "@bmk@"
_END = "BMK-END-OF-PROGRAM"


def node_script(sysctls: list[str]) -> str:
    """The script for `sh` whose answer `evidence` reads: a program for the host's own Python."""
    program = f"{_ON_NODE.read_text()}\n\nlook({json.dumps({'sysctls': sysctls})})"
    return f"exec python3 -I -B - <<'{_END}'\n{program}\n{_END}\n"


def evidence(lines: Sequence[str]) -> dict[str, Any]:
    """What the program printed. Raises ValueError when it did not come so far, or something else answers."""
    said = next((line for line in reversed(lines) if line.startswith(_MARK)), None)
    if said is None:
        raise ValueError(f"it said: {next((line.strip() for line in lines if line.strip()), 'nothing')[:80]!r}")
    try:
        raw = json.loads(said.removeprefix(_MARK))
    except RecursionError as error:
        raise ValueError("its JSON is too deep") from error
    if not isinstance(raw, dict):
        raise ValueError("its JSON is no object")
    return raw


@dataclass(frozen=True)
class FileEvidence:
    """Mode, owner and time of a file on a node."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime: float

    def __str__(self) -> str:
        return f"{self.path} {self.mode:04o} {self.uid}:{self.gid}"


@dataclass(frozen=True)
class ProcessIdentity:
    """Numbers of users and of groups (primary and further ones) of a process; its capabilities as masks."""

    uids: frozenset[int]
    gids: frozenset[int]
    effective: int
    bounding: int

    def __str__(self) -> str:
        users, groups = (",".join(map(str, sorted(ids))) for ids in (self.uids, self.gids))
        return f"user {users}, groups {groups}, capabilities {self.effective:x} of {self.bounding:x}"


@dataclass(frozen=True)
class NodeEvidence:
    """One node. `raw` is the answer of `on_node.py`."""

    name: str
    role: str
    raw: Mapping[str, Any]

    @cached_property
    def containerd(self) -> dict[str, Any]:
        """containerd's configuration as containerd understands it; empty when it cannot be read."""
        try:
            return tomllib.loads(self.raw["containerd"]["out"])
        except tomllib.TOMLDecodeError:
            return {}

    def runtime(self, plugin: str, *keys: str) -> Any:
        """A value of containerd's configuration: plug-in, then keys; None when it is not there."""
        found: Any = self.containerd.get("plugins", {}).get(plugin, {})
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @cached_property
    def kubelet(self) -> dict[str, Any]:
        """The kubelet's configuration file; all scalars are text."""
        return self._yaml(KUBELET_CONFIG)

    def text(self, path: str) -> dict[str, Any]:
        """A JSON file of ours on the node; empty when it is not there or not JSON."""
        return self._yaml(path)

    def files(self, *patterns: str) -> list[FileEvidence]:
        """Files that match any of the patterns, sorted by path."""
        found = [p for p in self.raw["files"] if any(PurePosixPath(p).match(pattern) for pattern in patterns)]
        return [FileEvidence(path, **self.raw["files"][path]) for path in sorted(found)]

    def flags(self, process: str) -> dict[str, str] | None:
        """Flags of a running process, `--name=value` as name -> value; None when it does not run."""
        running = self.raw["processes"].get(process)
        if running is None:
            return None
        pairs = (a.lstrip("-").partition("=") for a in running["args"] if a.startswith("--"))
        return {name: value if eq else "true" for name, eq, value in pairs}

    def started(self, process: str) -> float:
        """When a process began, in seconds since the epoch; 0 when it does not run."""
        return float(self.raw["processes"].get(process, {}).get("started", 0))

    def identity(self, process: str) -> ProcessIdentity | None:
        """Whom a process is as it runs; None when it does not."""
        running = self.raw["processes"].get(process)
        if running is None:
            return None
        capabilities = running["capabilities"]
        ids = (frozenset(running["uids"]), frozenset([*running["gids"], *running["groups"]]))
        return ProcessIdentity(*ids, capabilities["effective"], capabilities["bounding"])

    def listeners(self, process: str) -> list[str]:
        return list(self.raw["listeners"].get(process, ()))

    @property
    def facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.raw["facts"]
        return found

    def _yaml(self, path: str) -> dict[str, Any]:
        try:
            value = parse_document(self.raw["texts"].get(path) or "{}", Path(path)).value
        except ConfigError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class ClusterEvidence:
    """One cluster's API. Objects as plain data; `wanted` is what bmk should have made in it; `proof`: where a
    NetworkPolicy held, and when."""

    name: str
    settings: Mapping[str, Any]
    wanted: tuple[Mapping[str, Any], ...]
    policies: tuple[Mapping[str, Any], ...]
    nodes: tuple[Mapping[str, Any], ...]
    pods: tuple[Mapping[str, Any], ...]
    namespaces: tuple[Mapping[str, Any], ...]
    tokens: tuple[Mapping[str, Any], ...]
    role_bindings: tuple[Mapping[str, Any], ...]
    roles: tuple[Mapping[str, Any], ...]
    kube_proxy: str
    proof: Mapping[str, Any]
    anonymous: Mapping[str, int]
    now: float
