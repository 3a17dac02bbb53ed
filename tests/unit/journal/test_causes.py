"""Every rule that guesses a cause, and what it must not be taken in by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmk.journal import Event, Journal
from bmk.journal.causes import RULES, drift_cause, likely_cause
from bmk.journal.diagnosis import diagnose, find_cause
from bmk.journal.host_status import Projection, project


def event(kind: str, text: str = "", source: Any = "bmk", **data: Any) -> Event:
    return Event(source, kind, text or kind, "cp-1", data=data, at=1000.0)


START = event("phase.started")
DHCP = event("dhcp.discover", source="dhcp")
INSTALL = event("boot.answered", "answered install", "http", decision="install")
LOCAL = event("boot.answered", "answered local: no install is granted", "http", decision="local")

# what kubeadm says on the ninth system container of a machine with 128 inotify instances
NO_RUNTIME = (
    "[ERROR CRI]: could not connect to the container runtime: failed to create new CRI runtime service: validate "
    'service connection: validate CRI v1 runtime API for endpoint "unix:///run/containerd/containerd.sock": rpc error: '
    "code = Unimplemented desc = unknown service runtime.v1.RuntimeService"
)
CASES: dict[str, tuple[str, list[Event], str]] = {
    "agent_reported": ("imaging", [START, event("agent.failed", "disk X holds LVM", why="w")], "disk X holds LVM"),
    "claim_refused": ("booting", [INSTALL, event("agent.refused", "claim refused: serial")], "was refused"),
    "stranger": ("booting", [INSTALL, event("attest.refused", "refused: no proof: from 10.0.0.1")], "could not prove"),
    "tpm_unknown": ("booting", [INSTALL, event("tpm.unknown", "presents a TPM", "http")], "nobody accepted"),
    "tpm_foreign": ("booting", [INSTALL, event("tpm.foreign", "refused: it has another", "http")], "with another TPM"),
    "tpm_missing": ("booting", [INSTALL, event("tpm.missing", 'refused: it says "none"', "http")], "shows no TPM"),
    "console_silent": ("booting", [INSTALL, event("attest.unheard", "asks: from 10.0.0.1")], "not seen on its console"),
    "bmc_silent": ("powered", [START, event("bmc.retry", "503", "bmc")], "the BMC does not answer"),
    "task_failed": (
        "configured",
        [START, event("task.failed", "boom", task="Start kubelet")],
        "Ansible: Start kubelet",
    ),
    "address_withheld": (
        "booting",
        [
            event("dhcp.withheld", "not using configured address 10.0.0.9 because it was previously declined", "dhcp"),
            *(DHCP, event("dhcp.ack", source="dhcp"), LOCAL),
        ],
        "does not give the host its address",
    ),
    "dhcp_ignored": ("booting", [START, event("dhcp.ignored", source="dhcp", mac="02:00:00:00:00:01")], "00:00:01"),
    "dhcp_exhausted": ("booting", [START, event("dhcp.exhausted", source="dhcp", mac="02:00:00:00:00:01")], "no addr"),
    "no_dhcp": ("booting", [START], "no DHCP request seen in 180 s"),
    "no_script": ("booting", [START, DHCP], "the boot script was never asked for"),
    "told_local": ("booting", [START, DHCP, LOCAL], "was told: local"),
    "ramdisk_silent": ("booting", [START, DHCP, INSTALL], "never reported"),
    "image_stopped": ("imaging", [START, event("image.progress", "200 MB")], 'the image write stopped at "200 MB"'),
    "upgrade_waits": ("readmitted", [START, event("upgrade.waiting", "its node is not Ready")], "has to leave it"),
    "upgrade_silent": ("upgraded", [START], "kubeadm did not say"),
    "ramdisk_lost": ("imaging", [START], "the install ramdisk fell silent"),
    "network_boot_again": ("reachable", [START, DHCP, LOCAL], "boots from the network again"),
    "no_ssh": ("reachable", [START], "does not answer ssh"),
    "another_machine": ("reachable", [START, event("ssh.wrong-key", "ssh: wrong-key")], "another machine answers"),
    "no_inotify": ("joined", [START, event("task.failed", NO_RUNTIME, task="Join")], "no inotify instance left"),
    "kubelet_complains": ("verified", [START, event("kubelet.error", "the kubelet says: x")], "did not become Ready"),
    "node_unseen": ("verified", [START], "did not become Ready"),
    "node_not_ready": ("verified", [START, event("node.state", "node is absent")], "did not become Ready"),
    "certificate_not_used": (
        "certificates_renewed",
        [START, event("certificates.waiting", "apiserver: shows another certificate", program="kube-apiserver")],
        "kube-apiserver does not use its new certificate",
    ),
    "renewal_silent": ("certificates_renewed", [START, event("certificates.renewing")], "did not say that its cert"),
    "etcd_ill": ("drained", [START, event("etcd.ill", "not healthy: cp-3")], "cannot go on without it"),
    "not_shut_down": ("shut_down", [START], "did not shut down"),
    "left_unfenced": ("left", [START, event("bmc.unasked", "its BMC is of no help")], "could not be taken out"),
    "still_in": ("retired", [START], "could not be taken out"),
    "still_runs": ("cleaned", [START], "could not be taken off"),
    "etcd_not_back": ("uncordoned", [START, event("etcd.waiting", "no API server")], "did not come back"),
    "unknown": ("joined", [START], "joined did not end within 180 s"),
}


@pytest.mark.parametrize("rule", CASES)
def test_rule_names_its_cause(rule: str) -> None:
    """Each rule is the first to match its own evidence, and says what comes next."""
    phase, events, expected = CASES[rule]
    cause = likely_cause(phase, events, "par", "cp-1", 1180.0)
    assert expected in cause.what
    assert cause.hint


def test_every_rule_has_a_case() -> None:
    """A new rule needs a test of its own."""
    assert {rule.name for rule in RULES} == set(CASES)


def test_bmc_that_recovered_is_not_blamed() -> None:
    """A retry that was followed by an answer is history."""
    events = [START, event("bmc.retry", "503", "bmc"), event("bmc.recovered", "answered", "bmc")]
    assert "BMC" not in likely_cause("booting", events, "par", "cp-1", 1180.0).what


def test_wrong_host_key_is_another_machine() -> None:
    """A host key that is not the pinned one is never called a network problem."""
    cause = likely_cause("reachable", [START, event("ssh.wrong-key", "ssh: wrong-key")], "par", "cp-1", 1180.0)
    assert cause.what == "another machine answers at this address"


@pytest.mark.parametrize(
    "said", [NO_RUNTIME, "failed to create fsnotify watcher: too many open files", "inotify_init1"]
)
def test_what_explains_a_failure_is_said_instead_of_it(said: str) -> None:
    """A join that failed for want of inotify instances: told as that, with the command for the machine around it."""
    data = {"what": "Ansible: Join failed", "why": "x", "hint": "bmk ssh par cp-1 to look"}
    failed = Event("bmk", "phase.failed", "x", "cp-1", "joined", data=data, at=3.0)
    began = Event("bmk", "phase.started", "x", "cp-1", "joined", at=1.0)
    seen = Projection("par", 3.0, newest={"cp-1": failed})
    cause = find_cause([began, event("task.failed", said, task="Join"), failed], "cp-1", seen)
    assert cause is not None
    assert "inotify" in cause.what
    assert "sysctl -w fs.inotify.max_user_instances=8192" in cause.hint
    cause = find_cause([began, event("task.failed", "boom", task="Join"), failed], "cp-1", seen)
    assert cause is not None
    assert cause.what == "Ansible: Join failed"


def test_a_kubelet_without_inotify_is_told_so() -> None:
    """Told from a real run, the second lab of system containers on one machine: its deadline passed in `verified`."""
    said = 'the kubelet says: "Failed to start cAdvisor" err="inotify_init: too many open files"'
    cause = likely_cause("verified", [START, event("kubelet.error", said), event("node.state")], "kill", "cp-1", 1180.0)
    assert cause.what == "the kernel has no inotify instance left for this host"
    assert cause.sure


def test_a_node_that_is_not_ready_is_explained_by_its_kubelet() -> None:
    """What the kubelet logged last says more than the state of the node."""
    events = [START, event("kubelet.error", "the kubelet says: no CNI"), event("node.state", "node is not-ready")]
    assert "no CNI" in likely_cause("verified", events, "par", "cp-1", 1180.0).why


def test_verdict_follows_the_newest_step() -> None:
    """A failure that a later run overcame is not the verdict."""
    failed = Event("bmk", "phase.failed", "x", "cp-1", "booting", data={"what": "no DHCP", "hint": "look"}, at=1.0)
    ready = Event("bmk", "host.ready", "Ready", "cp-1", "ready", at=2.0)
    seen = Projection("par", 3.0, newest={"cp-1": failed})
    at, cause = seen.status("cp-1"), find_cause([failed], "cp-1", seen)
    assert (at.state, at.phase, cause.what if cause else "") == ("failed", "booting", "no DHCP")
    seen = Projection("par", 3.0, newest={"cp-1": ready})
    assert (seen.status("cp-1").state, find_cause([failed, ready], "cp-1", seen)) == ("ready", None)
    assert find_cause([], "cp-1", Projection("par", 3.0)).hint == "bmk provision par"  # type: ignore[union-attr]


def test_story_begins_with_the_newest_run(tmp_path: Path) -> None:
    """Earlier runs are left out unless everything is asked for."""
    journal = Journal.open(tmp_path)
    for run in ("r1", "r2"):
        journal.append(Event("bmk", "phase.started", f"begin {run}", "cp-1", "registered", run))
        journal.append(Event("http", "boot.answered", f"boot {run}", "cp-1"))
    assert [e.text for e in diagnose(journal, "cp-1", project(journal, "par", None)).events] == ["begin r2", "boot r2"]
    assert len(diagnose(journal, "cp-1", project(journal, "par", None), everything=True).events) == 4


def test_drift_is_a_cause_until_the_host_is_sealed_again() -> None:
    """Told from a real look: worker-1 after `sysctl -w net.ipv4.ip_forward=0`; a converge ends it."""
    data = {"state": "degraded", "items": ["sysctls:net.ipv4.ip_forward#value"], "troubles": []}
    look = Event("drift", "drift.scanned", "drift, degraded: net.ipv4.ip_forward: value is 0, should be 1", data=data)
    cause = drift_cause([look], "lab", "worker-1")
    assert cause is not None
    assert "net.ipv4.ip_forward" in cause.what
    assert cause.hint.startswith("bmk provision lab --limit worker-1")
    assert drift_cause([look, Event("bmk", "host.baseline_signed", "")], "lab", "worker-1") is None
    assert (
        drift_cause([Event("drift", "drift.scanned", "no drift", data={"state": "clean"})], "lab", "worker-1") is None
    )


def test_a_host_that_could_not_be_asked_is_told_so() -> None:
    """Unknown leads to power and console, not to a converge."""
    data = {"state": "unknown", "items": [], "troubles": [{"cause": "hangs", "text": "x"}]}
    cause = drift_cause([Event("drift", "drift.scanned", "drift is unknown: x", data=data)], "lab", "worker-1")
    assert cause is not None
    assert cause.hint.startswith("bmk power status lab worker-1")


def test_a_stranger_is_named_unless_the_host_came_itself() -> None:
    """Who asked without proof is the cause, with its address and MAC, as long as nobody proved to be the host."""
    refused = event("attest.refused", "refused: no proof by way of media: from 10.0.0.1, MAC 02:00:00:00:00:66")
    cause = likely_cause("booting", [INSTALL, refused], "par", "cp-1", 1180.0)
    assert "MAC 02:00:00:00:00:66" in cause.why
    assert "bmk provision par" in cause.hint
    claimed = likely_cause("booting", [INSTALL, refused, event("grant.claimed")], "par", "cp-1", 1180.0)
    assert "prove" not in claimed.what
