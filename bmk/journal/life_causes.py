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
        phases=("drained", "shut_down", "left", "retired"),
        seen=("etcd.ill",),
    ),
    CauseRule(
        "not_shut_down",  # asked, and the BMC never said that it is off
        "the machine did not shut down",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk console {dc} {host} shows what it waits for; then the same command",
        phases=("shut_down",),
    ),
    CauseRule(
        "left_unfenced",  # nobody could ask its BMC, and then nobody let it go
        "the host could not be taken out of its cluster",
        "{text}",
        "bmk status {dc}; then: bmk remove {dc} {host}",
        phases=("left", "retired"),
        seen=("bmc.unasked",),
    ),
    CauseRule(
        "still_in",  # etcd or the API did not let it go
        "the host could not be taken out of its cluster",
        "the last thing heard was: {last} | nothing was heard of its cluster",
        "bmk status {dc} shows whether an API server is left; then: bmk remove {dc} {host}",
        phases=("left", "retired"),
    ),
    CauseRule(
        "still_runs",  # asked to let go of Kubernetes, and nothing was heard
        "Kubernetes could not be taken off the host",
        "the last thing heard was: {last} | nothing was heard of it",
        "bmk ssh {dc} {host} and read: /var/log/bmk/kubeadm-reset.log; then the same command",
        phases=("cleaned",),
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
