"""The CIS Kubernetes Benchmark (cis-1.12), sections 1 to 5: each id is a control's, or has a reason why not."""

from __future__ import annotations

from bmk.hardening.controls import CONTROLS

# All ids of the set, by section.
COUNTS = {
    "1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "2": 7, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 14, "4.3": 1,
    "5.1": 13, "5.2": 12, "5.3": 2, "5.4": 2, "5.5": 1, "5.6": 4,
}  # fmt: skip
IDS = tuple(f"{section}.{number}" for section, count in COUNTS.items() for number in range(1, count + 1))

NOT_APPLICABLE = {
    "1.2.11": "AlwaysPullImages would stop every pod while the mirror is away; images come from the data center's own "
    "mirror only (runtime-registry), so a tag names what the mirror has",
    "3.1.1": "a matter of whom the kubeconfig is given to: bmk makes one, the administrator's, in a private file",
    "3.1.2": "a matter of who is given tokens; bmk gives none to people",
    "4.1.3": "kube-proxy has no kubeconfig file here: it runs as a pod, with its service account",
    "4.1.4": "as 4.1.3",
    "5.1.5": "what workloads use is their owners'; bmk's own pods mount no token",
    "5.1.6": "what workloads mount is their owners'; bmk's own pods mount no token",
    "5.4.1": "how a program takes its secrets is in its image",
    "5.4.2": "an external store is a service of its own; what stays in etcd is encrypted (api-encryption)",
    "5.6.1": "how people share a cluster is theirs to decide",
    "5.6.4": "where people put their workloads is theirs to decide",
}


def covered() -> dict[str, list[str]]:
    """CIS id -> ids of the controls that check it."""
    found: dict[str, list[str]] = {}
    for control in CONTROLS:
        for number in control.cis:
            found.setdefault(number, []).append(control.id)
    return found


def unmapped() -> list[str]:
    """Ids that no control checks and NOT_APPLICABLE does not explain."""
    known = covered()
    return [number for number in IDS if number not in known and number not in NOT_APPLICABLE]
