"""Kernel settings and sshd. What breaks pod networking (forwarding off, strict reverse path on pods) is not here."""

from __future__ import annotations

from bmk.hardening.control import Control, Requirement, Verdict, holds, not_applicable
from bmk.hardening.evidence import NodeEvidence

# name -> value; what has no value is read for other controls
NETWORK = {
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.tcp_syncookies": "1",
}
KERNEL = {
    "kernel.dmesg_restrict": "1",
    "kernel.kptr_restrict": "1",
    "kernel.unprivileged_bpf_disabled": "1",
    "kernel.randomize_va_space": "2",
    "fs.suid_dumpable": "0",
    "fs.protected_hardlinks": "1",
    "fs.protected_symlinks": "1",
    "fs.protected_fifos": "1",
    "fs.protected_regular": "2",
}
PODS = {"net.ipv4.ip_forward": "1"}
SYSCTLS = [*NETWORK, *KERNEL, *PODS, "user.max_user_namespaces"]
_STRICTER = {"kernel.unprivileged_bpf_disabled": ("1", "2"), "kernel.kptr_restrict": ("1", "2")}
SSHD = {
    "permitrootlogin": ("without-password", "prohibit-password"),
    "passwordauthentication": ("no",),
    "kbdinteractiveauthentication": ("no",),
    "permitemptypasswords": ("no",),
    "hostbasedauthentication": ("no",),
    "permituserenvironment": ("no",),
    "x11forwarding": ("no",),
    "allowagentforwarding": ("no",),
}


def _set(node: NodeEvidence, wanted: dict[str, str]) -> Verdict:
    seen = node.raw["sysctls"]
    wrong = [
        f"{name} = {seen.get(name) or 'not there'}"
        for name, value in wanted.items()
        if seen.get(name) not in _STRICTER.get(name, (value,))
    ]
    return holds(not wrong, ", ".join(wrong) or f"{len(wanted)} settings")


def _kernel(node: NodeEvidence) -> Verdict:
    if node.facts["container"]:
        return not_applicable("a container: kernel settings belong to the machine around it")
    return _set(node, KERNEL)


def _sshd(node: NodeEvidence) -> Verdict:
    seen = node.raw["sshd"]
    if not seen:
        return Verdict("unknown", "sshd -T says nothing")
    wrong = [f"{key} {seen.get(key, 'not said')}" for key, good in SSHD.items() if seen.get(key) not in good]
    return holds(not wrong, ", ".join(wrong) or "keys only; no passwords, forwarded agents or X11")


CONTROLS = (
    Control(
        "node-network",
        "The node takes no redirects and no source routes",
        "medium",
        "A neighbour could put itself between the node and the network.",
        Requirement(", ".join(f"{k}={v}" for k, v in NETWORK.items()), lambda node: _set(node, NETWORK)),
    ),
    Control(
        "node-forwarding",
        "The node forwards packets of pods",
        "low",
        "Baselines for other machines turn it off, and pods are cut off without a word.",
        Requirement("net.ipv4.ip_forward=1", lambda node: _set(node, PODS)),
    ),
    Control(
        "node-kernel",
        "The kernel keeps its addresses and logs to itself",
        "medium",
        "What an attacker in a container reads of the kernel is the map to the hole.",
        Requirement(", ".join(f"{k}={v}" for k, v in KERNEL.items()), _kernel),
    ),
    Control(
        "node-sshd",
        "sshd takes the deployer's key and nothing else",
        "high",
        "Passwords are guessed; a forwarded agent can be used by whoever is root on the node.",
        Requirement(
            "PasswordAuthentication no, KbdInteractiveAuthentication no, PermitRootLogin prohibit-password, "
            "AllowAgentForwarding no, X11Forwarding no",
            _sshd,
        ),
    ),
)
