"""The runtime's sockets: access to them is root on the node."""

from __future__ import annotations

from bmk.hardening.control import Control, Requirement, Verdict, holds
from bmk.hardening.evidence import NodeEvidence

_GRPC, _TTRPC = "/run/containerd/containerd.sock", "/run/containerd/containerd.sock.ttrpc"
_WHY = "Whoever may write to this socket can start a privileged container: it is root by another name."


def _group(path: str, plugin: str) -> Control:
    name = plugin.rpartition(".")[2]

    def check(node: NodeEvidence) -> Verdict:
        seen = node.raw["sockets"].get(path)
        if seen is None:
            return Verdict("unknown", f"there is no {path}")
        (file,) = node.files(path)
        configured = node.runtime(plugin, "gid")
        members = ", ".join(seen["members"]) or "nobody"
        good = bool(seen["gid"]) and configured == seen["gid"] and not seen["members"] and not file.mode & ~0o660
        return holds(
            good and file.uid == 0, f"{file} group {seen['group'] or '?'}, in it: {members}, configured {configured}"
        )

    return Control(
        f"runtime-socket-{name}",
        f"containerd's {name} socket belongs to a system group without members",
        "high",
        _WHY,
        Requirement(f"[plugins.'{plugin}'] gid = that of bmk-cri; mode 0660", check),
        relax="nobody needs to be in the group: root is enough for every tool on a node",
    )


def _refused(node: NodeEvidence) -> Verdict:
    answers = {path: seen["nobody"] for path, seen in node.raw["sockets"].items()}
    if not answers:
        return Verdict("unknown", "there are no sockets")
    return holds(set(answers.values()) == {"EACCES"}, ", ".join(f"{p}: {a}" for p, a in sorted(answers.items())))


CONTROLS = (
    _group(_GRPC, "io.containerd.server.v1.grpc"),
    _group(_TTRPC, "io.containerd.server.v1.ttrpc"),
    Control(
        "runtime-socket-refuses",
        "An unprivileged user cannot connect to the runtime",
        "high",
        _WHY,
        Requirement("what user 65534 gets from connect(): EACCES", _refused),
    ),
)
