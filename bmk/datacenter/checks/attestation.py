"""How machines prove who they are: by their BMC or their TPM; without either only for a reason that is written."""

from __future__ import annotations

from collections.abc import Iterator

from bmk.datacenter.draft import Draft
from bmk.datacenter.model import WAYS, Profile
from bmk.datacenter.problem import Problem
from bmk.document import Loc


def attestable(draft: Draft) -> Iterator[Problem]:
    """The way of each profile."""
    for name, profile in draft.profiles.items():
        attest, loc = profile.attest, ("spec", "profiles", name, "attest")
        if attest is None:
            continue
        way: Loc = (*loc, "way")
        ways = WAYS[profile.bmc.kind]
        if attest.way == "none" and attest.reason is None:
            hint = f'attest: {{way: none, reason: "..."}}, or drop it: the default is {ways[0]}'
            yield Problem(way, "machines without a proof need a reason", hint)
        elif attest.way != "none" and attest.reason is not None:
            hint = f"drop it, or say way: none instead of {attest.way}"
            yield Problem((*loc, "reason"), "a reason is for none only", hint)
        elif attest.way == "tpm" and _lab_without_tpm(profile):
            yield Problem(way, "the lab's machines of this profile have no TPM", "lab: {kind: vm, tpm: true}")
        elif attest.way not in (*ways, "none"):
            yield Problem(way, f"a BMC of kind {profile.bmc.kind} carries no {attest.way}", f"use {' or '.join(ways)}")


def _lab_without_tpm(profile: Profile) -> bool:
    lab = profile.lab
    return lab is not None and not (lab.tpm and lab.kind in ("vm", "simulated"))
