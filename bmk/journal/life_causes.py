"""Likely causes of what stops a host on its way out of service and back: rules of `causes.py`. Data."""

from __future__ import annotations

from bmk.journal.cause_rule import CauseRule

LIFE_RULES: tuple[CauseRule, ...] = (
    CauseRule(
        "etcd_ill",  # a control plane may only go, and its turn only end, when etcd goes on without it
        "its cluster cannot go on without it now: etcd is not healthy",
        "{text}",
        "bmk status {dc} shows the others: mend those first, then the same command; where most members are gone for "
        "good, docs/backup.md says how the cluster comes back",
        phases=("drained", "shut_down"),
        seen=("etcd.ill",),
    ),
    CauseRule(
        "not_shut_down",  # asked, and the BMC never said that it is off
        "the machine did not shut down",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk console {dc} {host} shows what it waits for; then: bmk maintenance {dc} {host} on",
        phases=("shut_down",),
    ),
    CauseRule(
        "etcd_not_back",  # on again, and not a member that counts
        "its part of the control plane did not come back",
        "{text}",
        "bmk ssh {dc} {host} and read: journalctl -u kubelet; then: bmk maintenance {dc} {host} off",
        phases=("uncordoned",),
        seen=("etcd.waiting",),
    ),
)
