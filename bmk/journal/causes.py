"""Likely causes, told from what a host's events say and from what they do not say. Rules are data: first match wins.

Pure. Each rule has a case in tests/unit/journal/test_causes.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bmk.journal.advice import advice
from bmk.journal.cause_rule import Cause, CauseRule
from bmk.journal.events import MACHINES, Event
from bmk.journal.life_causes import LIFE_RULES
from bmk.journal.quoted import quote

# The phase from whose start on events tell about a phase, where that is not itself.
SINCE = {"booting": "powered", "reachable": "installed"}

_FIELD = re.compile(r"\{(\w+)\}")
_CONSOLE = "bmk console {dc} {host}"
_NO_INSTANCES = r"unknown service runtime\.v1\.RuntimeService|inotify|fsnotify"

RULES: tuple[CauseRule, ...] = (
    CauseRule(
        "agent_reported",  # the ramdisk said itself what is wrong
        "the install ramdisk reports: {said}",
        "{said_why}",
        "{advice} | bmk why {dc} {host}",
        seen=("agent.failed",),
    ),
    CauseRule(
        "tpm_unknown",  # the first time that a machine shows its TPM
        "nobody accepted this machine's TPM yet",
        "{text}",
        "bmk tpm accept {dc} {host}",
        phases=("booting",),
        seen=("tpm.unknown",),
        unseen=("grant.claimed", "tpm.accepted"),
    ),
    CauseRule(
        "tpm_foreign",  # another board in the right place, or a stranger with a TPM of its own
        "a machine asked to be installed as this host with another TPM than the accepted one",
        "{text}",
        "if its board was replaced: bmk tpm accept {dc} {host}; if not, find who asks by its MAC in the tables of your "
        "switches; then: bmk provision {dc}",
        phases=("booting",),
        seen=("tpm.foreign",),
        unseen=("grant.claimed",),
    ),
    CauseRule(
        "tpm_missing",  # it wants to prove itself and cannot
        "the machine shows no TPM that it could prove itself with",
        "{text}",
        "switch the TPM on in the firmware's setup, or clear it there if it refuses; docs/attestation.md names other "
        "ways; then: bmk provision {dc}",
        phases=("booting",),
        seen=("tpm.missing",),
        unseen=("grant.claimed",),
    ),
    CauseRule(
        "stranger",  # it has the address and the facts of the host, and not the secret that the host's BMC was given
        "a machine asked to be installed as this host and could not prove that it is, and no other asked",
        "{text}",
        "find it by its MAC in the tables of your switches; if it is this host after all, "
        "bmk console {dc} {host} shows what it found in its BMC; then: bmk provision {dc}",
        phases=("booting",),
        seen=("attest.refused",),
        unseen=("grant.claimed",),
    ),
    CauseRule(
        "console_silent",  # by console: it asks, and nothing of its secret was read
        "the machine asks to be installed, and its secret was not seen on its console",
        "{text}",
        "bmk console {dc} {host} shows whether anything comes: the firmware or the BMC may use another serial port; "
        "docs/attestation.md names the other ways",
        phases=("booting",),
        seen=("attest.unheard",),
        unseen=("grant.claimed", "attest.heard"),
    ),
    CauseRule(
        "claim_refused",  # a ramdisk came up and was turned away: it is not the machine that the file describes
        "the installer started but was refused",
        "{text}",
        "{hint} | compare serial, uuid and MACs in dc.yml with the machine",
        seen=("agent.refused", "install.refused"),
        unseen=("grant.claimed",),
    ),
    CauseRule(
        "bmc_silent",  # the newest thing the BMC did was not to answer
        "the BMC does not answer",
        "{text}",
        "bmk power status {dc} {host}; when that fails too, reset the BMC",
        seen=("bmc.",),
        newest=("bmc.retry", "bmc.failed"),
    ),
    CauseRule(
        "no_inotify",  # a runtime or kubelet that cannot watch files serves nothing; with many nodes on one machine
        "the kernel has no inotify instance left for this host",
        "{text}",
        "on the machine that it runs on: sysctl -w fs.inotify.max_user_instances=8192 (128 is the default, and "
        "eight system containers use it up); then: bmk provision {dc}. When some are left there: "
        "bmk ssh {dc} {host} and read: journalctl -u containerd",
        seen=("task.failed", "kubelet.error"),
        says=("text", _NO_INSTANCES),
        sure=True,
    ),
    CauseRule(
        "task_failed",
        "Ansible: {task} | Ansible: a task",
        "{text}",
        "bmk ssh {dc} {host} to look, then run the same command again",
        seen=("task.failed", "task.unreachable"),
    ),
    CauseRule(
        "address_withheld",  # DHCP knows the host, and somebody has its address; a lease that is given back is no cause
        "DHCP does not give the host its address",
        "{text}",
        "find in the tables of your switches who has {address}, or choose another in dc.yml, then: bmk provision {dc}",
        phases=("booting",),
        seen=("dhcp.withheld", "lease.released"),
        newest=("dhcp.withheld",),
        unseen=("grant.claimed",),
    ),
    CauseRule(
        "dhcp_ignored",  # without a pool only the NIC that boots is answered, and it is another one that asks
        "DHCP is asked by a NIC that it has no address for: {mac}",
        "{text}",
        "let the firmware boot from the first of nics, or put this NIC first in dc.yml, then: bmk provision {dc}",
        phases=("booting",),
        seen=("dhcp.",),
        newest=("dhcp.ignored",),
        unseen=("boot.answered", "agent."),
    ),
    CauseRule(
        "dhcp_exhausted",  # asked, and nothing is left to give
        "DHCP has no address left for {mac}",
        "{text}",
        "a larger dhcp.pool of its network in dc.yml; when this NIC should have the host's address: first of its nics",
        phases=("booting",),
        seen=("dhcp.",),
        newest=("dhcp.exhausted",),
        unseen=("boot.answered", "agent."),
    ),
    CauseRule(
        "no_dhcp",  # switched on and never asked for an address
        "no DHCP request seen in {seconds} s",
        "cabling, boot order, a NIC that is not the one in dc.yml, or a missing DHCP relay",
        f"{_CONSOLE} shows what the firmware does",
        phases=("booting",),
        unseen=("dhcp.", "boot.", "agent.", "install."),
    ),
    CauseRule(
        "no_script",  # DHCP worked, and then the machine did not ask the boot service
        "DHCP was answered, the boot script was never asked for",
        "TFTP or HTTP blocked between machine and deployer, or firmware that cannot run the network boot program",
        f"{_CONSOLE} shows where the firmware stops",
        phases=("booting",),
        seen=("dhcp.",),
        unseen=("boot.answered", "agent."),
    ),
    CauseRule(
        "told_local",  # the boot service was asked and did not say install
        "the machine asked and was told: {decision}",
        "{reason} | {text}",
        "bmk grant list {dc}",
        phases=("booting",),
        seen=("boot.answered",),
        says=("decision", "^(?!install$)."),
    ),
    CauseRule(
        "ramdisk_silent",  # the installer was handed out and never called back
        "the install ramdisk was served and never reported",
        "too little memory, no driver for the NIC, no secret found in its BMC, or no way to the deployer",
        _CONSOLE,
        phases=("booting",),
        seen=("boot.answered",),
    ),
    CauseRule(
        "image_stopped",  # the image was being written and then nothing came any more
        "the image write stopped at {said}",
        "the machine lost power or network, or its disk hangs",
        _CONSOLE,
        phases=("imaging",),
        seen=("image.progress",),
    ),
    CauseRule(
        "ramdisk_lost",  # the ramdisk took the grant and was not heard again
        "the install ramdisk fell silent",
        "the machine was reset, or lost power or network",
        _CONSOLE,
        phases=("imaging",),
    ),
    CauseRule(
        "network_boot_again",  # installed, and yet it asks the network what to boot
        "the machine boots from the network again and is sent to its disk, and no ssh answers",
        "its firmware cannot boot the disk, or the installed system does not come up",
        _CONSOLE,
        phases=("reachable",),
        seen=("boot.answered", "dhcp."),
    ),
    CauseRule(
        "another_machine",
        "another machine answers at this address",
        "{text}",
        "find who holds the address; never accept the key",
        phases=("reachable",),
        seen=("ssh.wrong-key",),
    ),
    CauseRule(
        "no_ssh",  # installed and restarted
        "the installed system does not answer ssh",
        "boot order, network of the installed system, or no power",
        _CONSOLE,
        phases=("reachable",),
    ),
    CauseRule(
        "kubelet_complains",
        "the node did not become Ready",
        "{text}",
        "bmk ssh {dc} {host} and read: journalctl -u kubelet",
        phases=("verified", "smoke_test", "ready", "readmitted"),
        seen=("kubelet.error",),
    ),
    CauseRule(
        "node_not_ready",
        "the node did not become Ready",
        "{text}",
        "bmk ssh {dc} {host} and read: journalctl -u kubelet",
        phases=("verified", "smoke_test", "ready"),
        seen=("node.state",),
    ),
    CauseRule(
        "node_unseen",
        "the node did not become Ready",
        "the API has not seen it",
        "bmk ssh {dc} {host} and read: journalctl -u kubelet",
        phases=("verified", "smoke_test", "ready"),
    ),
    CauseRule(
        "upgrade_waits",  # kubeadm is done, and what it upgraded does not come back as it should
        "the host is not as its upgrade has to leave it",
        "{text}",
        "bmk ssh {dc} {host} crictl ps --all and journalctl -u kubelet show why; then: bmk upgrade {dc}",
        phases=("upgraded", "readmitted"),
        seen=("upgrade.waiting",),
    ),
    CauseRule(
        "upgrade_silent",  # kubeadm waits for something on the host, and says of what in its log only
        "kubeadm did not say that the host is upgraded",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk ssh {dc} {host} tail /var/log/bmk/kubeadm-upgrade.log; then: bmk upgrade {dc}",
        phases=("upgraded",),
    ),
    CauseRule(
        "certificate_not_used",  # renewed, and what reads it does not come back with it
        "{program} does not use its new certificate | a new certificate is not used",
        "{text}",
        "bmk ssh {dc} {host} crictl ps --all shows whether it starts; then: bmk certs renew {dc}",
        phases=("certificates_renewed",),
        seen=("certificates.waiting",),
    ),
    CauseRule(
        "renewal_silent",  # the host was asked to renew, and neither did nor said why not
        "the host did not say that its certificates are renewed",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk ssh {dc} {host} kubeadm certs check-expiration; then: bmk certs renew {dc}",
        phases=("urgent_renewed", "certificates_renewed"),
    ),
    *LIFE_RULES,
    CauseRule(
        "unknown",
        "{phase} did not end within {seconds} s",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk why {dc} {host}",
    ),
)


def likely_cause(phase: str, events: Sequence[Event], dc: str, host: str, now: float) -> Cause:
    """What the first rule says that fits; always an answer. `now` in seconds since the epoch."""
    seconds = max(0.0, now - events[0].at) if events else 0.0
    known = {"phase": phase, "dc": dc, "host": host, "seconds": f"{seconds:.0f}"}
    known["last"] = quote(events[-1].text) if events else ""
    rule = next(rule for rule in RULES if _fits(rule, phase, events))
    event = _last(events, rule.seen)
    known |= _quoted(event, dc, host)
    fields = defaultdict(str, {**(_fields(event) if event else {}), **known})
    what, why, hint = (_said(text, fields) for text in (rule.what, rule.why, rule.hint))
    return Cause(what, why, hint, rule.sure)


def _quoted(event: Event | None, dc: str, host: str) -> dict[str, str]:
    if event is None:
        return {"said": "", "said_why": "", "advice": ""}
    why = str(event.data.get("why") or "")
    code = str(event.data.get("code") or "")
    return {"said": quote(event.text), "said_why": quote(why) if why else "", "advice": advice(code, dc, host)}


def _fits(rule: CauseRule, phase: str, events: Sequence[Event]) -> bool:
    if (rule.phases and phase not in rule.phases) or _last(events, rule.unseen) is not None:
        return False
    event = _last(events, rule.seen)
    if event is None:
        return not rule.seen
    field, pattern = rule.says
    better = not rule.newest or any(_is(event, kind) for kind in rule.newest)
    return better and re.search(pattern, _fields(event).get(field, "")) is not None


def _fields(event: Event) -> dict[str, str]:
    """The data of an event. What a machine calls a hint is none: journals of earlier versions hold some."""
    data = {key: str(value) for key, value in event.data.items() if value is not None}
    if event.source in MACHINES:
        data.pop("hint", None)
    return {**data, "text": event.text}


def _said(alternatives: str, fields: defaultdict[str, str]) -> str:
    """The first alternative all of whose fields are known; else the last."""
    texts = alternatives.split(" | ")
    good = (text for text in texts if all(fields[name] for name in _FIELD.findall(text)))
    return next(good, texts[-1]).format_map(fields)


def _last(events: Sequence[Event], kinds: Sequence[str]) -> Event | None:
    return next((e for e in reversed(events) if any(_is(e, kind) for kind in kinds)), None)


# What the newest look of `bmk drift` came out with -> the next command. The first state that matches counts.
_DRIFT_NEXT = (
    ("unknown", "bmk power status {dc} {host}; bmk console {dc} {host}"),
    ("*", "bmk provision {dc} --limit {host} repairs what it can; bmk drift {dc} --limit {host} -o wide shows all"),
)


def drift_cause(events: Sequence[Event], dc: str, host: str) -> Cause | None:
    """A host that is done, and yet no longer as it was left. None: no drift, or nobody has looked since."""
    event = next((e for e in reversed(events) if e.kind in ("drift.scanned", "host.baseline_signed")), None)
    if event is None or event.kind != "drift.scanned" or event.data.get("state") == "clean":
        return None
    items = [str(item) for item in event.data.get("items", ())]
    state = str(event.data.get("state"))
    hint = next(text for word, text in _DRIFT_NEXT if word in (state, "*"))
    why = "; ".join(item.replace("#", " ").strip() for item in items[:5]) + (" ..." if len(items) > 5 else "")
    return Cause(event.text, why, hint.format(dc=dc, host=host))


def _is(event: Event, kind: str) -> bool:
    return event.kind.startswith(kind) if kind.endswith(".") else event.kind == kind


def cause_of(event: Event) -> dict[str, Any]:
    """What a `phase.failed` event tells: phase, what, why, hint."""
    return {"phase": event.phase, **{key: event.data.get(key, "") for key in ("what", "why", "hint")}}
