"""Likely causes, told from what a host's events say and from what they do not say. Rules are a list: first match wins.

A rule is pure: evidence in, cause or None out. Each has a test in tests/unit/journal/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bmk.journal.events import Event


@dataclass(frozen=True, slots=True)
class Cause:
    """What probably went wrong, why we think so, and the command or act that comes next."""

    what: str
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Events of one host since a phase began. `seconds` is how long ago that was."""

    phase: str
    events: Sequence[Event]
    dc: str
    host: str
    seconds: float

    def has(self, *kinds: str) -> bool:
        return self.last(*kinds) is not None

    def last(self, *kinds: str) -> Event | None:
        """The newest event of one of these kinds; a kind that ends in `.` means all below it."""
        return next((e for e in reversed(self.events) if any(_is(e, k) for k in kinds)), None)

    def bmk(self, verb: str) -> str:
        """A command line about this host."""
        return f"bmk {verb} {self.dc} {self.host}"


# The phase from whose start on events tell about a phase, where that is not itself.
SINCE = {"booting": "powered", "reachable": "installed"}

Rule = Callable[[Evidence], Cause | None]


def likely_cause(phase: str, events: Sequence[Event], dc: str, host: str, now: float) -> Cause:
    """The first rule that matches; always an answer. `now` in seconds since the epoch."""
    started = events[0].at if events else now
    evidence = Evidence(phase, events, dc, host, max(0.0, now - started))
    return next(cause for rule in RULES if (cause := rule(evidence)) is not None)


def agent_reported(e: Evidence) -> Cause | None:
    """The ramdisk said itself what is wrong."""
    event = e.last("agent.failed")
    if event is None:
        return None
    return Cause(event.text, str(event.data.get("why") or ""), str(event.data.get("hint") or e.bmk("why")))


def claim_refused(e: Evidence) -> Cause | None:
    """A ramdisk came up and was turned away: it is not the machine that the file describes."""
    event = e.last("agent.refused", "install.refused")
    if event is None or e.has("grant.claimed"):
        return None
    hint = str(event.data.get("hint") or "compare serial, uuid and MACs in dc.yml with the machine")
    return Cause("the installer started but was refused", event.text, hint)


def bmc_silent(e: Evidence) -> Cause | None:
    """The newest thing the BMC did was not to answer."""
    event = e.last("bmc.")
    if event is None or event.kind not in ("bmc.retry", "bmc.failed"):
        return None
    return Cause("the BMC does not answer", event.text, e.bmk("power status") + "; when that fails too, reset the BMC")


def task_failed(e: Evidence) -> Cause | None:
    """An Ansible task failed."""
    event = e.last("task.failed", "task.unreachable")
    if event is None:
        return None
    task = event.data.get("task") or "a task"
    return Cause(f"Ansible: {task}", event.text, e.bmk("ssh") + " to look, then run the same command again")


def no_dhcp(e: Evidence) -> Cause | None:
    """The machine was switched on and never asked for an address."""
    if e.phase != "booting" or e.has("dhcp.", "boot.", "agent.", "install."):
        return None
    return Cause(
        f"no DHCP request seen in {e.seconds:.0f} s",
        "cabling, boot order, a NIC that is not the one in dc.yml, or a missing DHCP relay",
        e.bmk("console") + " shows what the firmware does",
    )


def no_script(e: Evidence) -> Cause | None:
    """DHCP worked, and then the machine did not ask the boot service."""
    if e.phase != "booting" or e.has("boot.answered", "agent.") or not e.has("dhcp."):
        return None
    return Cause(
        "DHCP was answered, the boot script was never asked for",
        "TFTP or HTTP blocked between machine and deployer, or firmware that cannot run the network boot program",
        e.bmk("console") + " shows where the firmware stops",
    )


def told_local(e: Evidence) -> Cause | None:
    """The boot service was asked and did not say install."""
    event = e.last("boot.answered")
    if e.phase != "booting" or event is None or event.data.get("decision", "install") == "install":
        return None
    return Cause(
        f"the machine asked and was told: {event.data['decision']}",
        str(event.data.get("reason") or event.text),
        f"bmk grant list {e.dc}",
    )


def ramdisk_silent(e: Evidence) -> Cause | None:
    """The installer was handed out and never called back."""
    if e.phase != "booting" or not e.has("boot.answered"):
        return None
    return Cause(
        "the install ramdisk was served and never reported",
        "too little memory, no driver for the NIC, or its network cannot reach the deployer",
        e.bmk("console"),
    )


def image_stopped(e: Evidence) -> Cause | None:
    """The image was being written and then nothing came any more."""
    event = e.last("image.progress")
    if e.phase != "imaging" or event is None:
        return None
    return Cause(
        f"the image write stopped ({event.text})",
        "the machine lost power or network, or its disk hangs",
        e.bmk("console"),
    )


def ramdisk_lost(e: Evidence) -> Cause | None:
    """The ramdisk took the grant and was not heard again."""
    if e.phase != "imaging":
        return None
    return Cause("the install ramdisk fell silent", "the machine was reset, or lost power or network", e.bmk("console"))


def network_boot_again(e: Evidence) -> Cause | None:
    """Installed, and yet it asks the network what to boot."""
    if e.phase != "reachable" or not e.has("boot.answered", "dhcp."):
        return None
    return Cause(
        "the machine boots from the network again and is sent to its disk, and no ssh answers",
        "its firmware cannot boot the disk, or the installed system does not come up",
        e.bmk("console"),
    )


def no_ssh(e: Evidence) -> Cause | None:
    """Installed and restarted, and ssh does not answer."""
    if e.phase != "reachable":
        return None
    wrong = e.last("ssh.wrong-key")
    if wrong is not None:
        return Cause(
            "another machine answers at this address", wrong.text, "find who holds the address; never accept the key"
        )
    return Cause(
        "the installed system does not answer ssh",
        "boot order, network of the installed system, or no power",
        e.bmk("console"),
    )


def node_not_ready(e: Evidence) -> Cause | None:
    """kubelet runs, or should, and the node is not Ready."""
    if e.phase not in ("verified", "ready"):
        return None
    event = e.last("kubelet.error") or e.last("node.state")
    return Cause(
        "the node did not become Ready",
        event.text if event else "the API has not seen it",
        e.bmk("ssh") + " and read: journalctl -u kubelet",
    )


# What the newest look of `bmk drift` came out with -> the next command. The first state that matches counts.
_DRIFT_NEXT = (
    ("unknown", "bmk power status {dc} {host}; bmk console {dc} {host}"),
    ("*", "bmk provision {dc} --limit {host} repairs what it can; bmk drift {dc} --limit {host} -o wide shows all"),
)


def drift_cause(events: Sequence[Event], dc: str, host: str) -> Cause | None:
    """A host that is done, and yet no longer as it was left. None: no drift, or nobody has looked since."""
    event = next((e for e in reversed(events) if e.kind in ("drift.looked", "host.sealed")), None)
    if event is None or event.kind != "drift.looked" or event.data.get("state") == "clean":
        return None
    items = [str(item) for item in event.data.get("items", ())]
    state = str(event.data.get("state"))
    hint = next(text for word, text in _DRIFT_NEXT if word in (state, "*"))
    why = "; ".join(item.replace("#", " ").strip() for item in items[:5]) + (" ..." if len(items) > 5 else "")
    return Cause(event.text, why, hint.format(dc=dc, host=host))


def unknown(e: Evidence) -> Cause:
    """No rule knows."""
    event = e.events[-1] if e.events else None
    last = f"the last thing heard was: {event.text}" if event else "nothing was heard of it"
    return Cause(f"{e.phase} did not end within {e.seconds:.0f} s", last, e.bmk("why"))


RULES: list[Rule] = [
    agent_reported,
    claim_refused,
    bmc_silent,
    task_failed,
    no_dhcp,
    no_script,
    told_local,
    ramdisk_silent,
    image_stopped,
    ramdisk_lost,
    network_boot_again,
    no_ssh,
    node_not_ready,
    unknown,
]


def _is(event: Event, kind: str) -> bool:
    return event.kind.startswith(kind) if kind.endswith(".") else event.kind == kind


def cause_of(event: Event) -> dict[str, Any]:
    """What a `phase.failed` event tells: phase, what, why, hint."""
    return {"phase": event.phase, **{key: event.data.get(key, "") for key in ("what", "why", "hint")}}
