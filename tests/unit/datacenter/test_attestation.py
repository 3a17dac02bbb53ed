"""How machines prove themselves when the file says nothing, and who is shown when it says that they need not."""

from __future__ import annotations

import pytest

from bmk.datacenter.hosts import unproven
from bmk.datacenter.model import WAYS, Attest, Profile
from tests.unit.datacenter.conftest import Room

REASON = "the BMCs of this batch have no virtual media"


@pytest.mark.parametrize(("kind", "way"), [("ipmi", "mailbox"), ("redfish", "media")])
def test_a_proof_is_the_default(kind: str, way: str) -> None:
    """Every kind of BMC has a way, and it is taken when the profile names none."""
    profile = Profile.model_validate({"bmc": {"kind": kind, "secret": "bmc/x"}})
    assert profile.attestation == Attest.model_validate({"way": way})
    assert "none" not in WAYS[kind]


def test_hosts_without_a_proof_are_named_with_the_reason(room: Room) -> None:
    """By profile, with the words of the file; hosts of other profiles are not among them."""
    box = 'box: {bmc: {kind: redfish, secret: bmc/tiny}, disk: {size: ">=400GB"}}'
    room.edit(box, f"{box}\n    old: {{bmc: {{kind: ipmi, secret: x}}, attest: {{way: none, reason: {REASON}}}}}")
    room.edit("{name: d, profile: box", "{name: d, profile: old, disk: {serial: D}")
    found = list(unproven(room.load().hosts.values()))
    assert [(one.profile, one.reason, one.hosts) for one in found] == [("old", REASON, ("d",))]
    assert str(found[0]).endswith(f"profile old: d): {REASON}")
