"""What a machine boots is decided by one pure function; these properties hold for every machine and every grant."""

from __future__ import annotations

import uuid as uuids
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from bmk.boot.decide import BootFacts, Install, Local, Refuse, decide, may_write
from bmk.boot.grants import Grant

MACS = ["52:54:00:20:00:11", "52:54:00:20:01:11", "52:54:00:20:00:21"]
UUIDS = ["4c4c4544-0042-3510-8052-b4c04f4e3232", "6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770001"]
SERIALS = ["SN-0001", "SN-0002"]
MOMENTS = st.integers(0, 40).map(float)

facts_of_machines = st.builds(
    BootFacts,
    macs=st.lists(st.sampled_from([*MACS, MACS[0].upper(), MACS[0].replace(":", "-")]), max_size=3).map(tuple),
    uuid=st.sampled_from([None, "", "not-a-uuid", "00000000-0000-0000-0000-000000000000", *UUIDS, UUIDS[0].upper()]),
    serial=st.sampled_from([None, "", "Not Specified", *SERIALS, " sn-0001 "]),
    complete=st.booleans(),
    own_address=st.booleans(),
)
grants = st.builds(
    Grant,
    id=st.just("g1"),
    host=st.just("cp-1"),
    attempt=st.integers(1, 3),
    macs=st.lists(st.sampled_from(MACS), max_size=2).map(tuple),
    uuid=st.sampled_from([None, *UUIDS]),
    serial=st.sampled_from([*SERIALS, "none"]),
    disk=st.just({"serial": "D1"}),
    confirmed=st.none(),
    image=st.just("node-image"),
    image_sha256=st.just("a" * 64),
    opened=MOMENTS,
    expires=MOMENTS,
    claimed=st.none() | MOMENTS,
    ended=st.none() | MOMENTS,
    outcome=st.sampled_from([None, "spent", "failed", "expired", "revoked"]),
)
GOOD = Grant("g1", "cp-1", 1, (MACS[0],), UUIDS[0], "SN-0001", {}, None, "node-image", "a" * 64, "none", 10.0, 20.0)
OWN = BootFacts((MACS[0],), UUIDS[0], "SN-0001", complete=True, own_address=True)


def is_open(grant: Grant, now: float) -> bool:
    """Independent of the code under test on purpose."""
    return grant.ended is None and grant.opened <= now < grant.expires


@given(facts=facts_of_machines, grant=st.none() | grants, now=MOMENTS)
def test_install_needs_an_open_matching_grant(facts: BootFacts, grant: Grant | None, now: float) -> None:
    """No combination of facts and grant without an open, unclaimed grant for this machine ever yields Install."""
    if isinstance(decide(facts, grant, now), Install):
        assert grant is not None
        assert is_open(grant, now)
        assert grant.claimed is None
        assert facts.own_address
        assert {mac.lower().replace("-", ":") for mac in facts.macs} & set(grant.macs)
        if facts.complete:
            assert grant.serial == "none" or (facts.serial or "").strip().lower() == grant.serial.lower()
            assert grant.uuid is None or (facts.uuid or "").lower() == grant.uuid
            assert (grant.serial, grant.uuid) != ("none", None)


@given(facts=facts_of_machines, grant=grants, now=MOMENTS)
def test_a_closed_grant_is_always_the_local_disk(facts: BootFacts, grant: Grant, now: float) -> None:
    """A grant that is spent, failed, revoked, expired, not yet valid or claimed boots the local disk, whoever asks."""
    assume(not is_open(grant, now) or grant.claimed is not None)
    assert isinstance(decide(facts, grant, now), Local)


@given(grant=grants, now=MOMENTS, claimer=st.booleans())
def test_the_image_needs_an_open_claimed_grant(grant: Grant, now: float, claimer: bool) -> None:
    """The image's bytes are only for the machine that claimed an open grant."""
    if isinstance(may_write(grant, now, claimer), Install):
        assert is_open(grant, now)
        assert grant.claimed is not None
        assert claimer


@given(facts=facts_of_machines, grant=grants, now=MOMENTS)
def test_installer_and_image_are_never_open_together(facts: BootFacts, grant: Grant, now: float) -> None:
    """A moment belongs to the boot of the installer or to the write of the image, never to both."""
    assert not (isinstance(decide(facts, grant, now), Install) and isinstance(may_write(grant, now, True), Install))


@given(now=MOMENTS)
def test_without_a_grant_every_machine_boots_its_disk(now: float) -> None:
    """No grant is no install."""
    assert decide(OWN, None, now) == Local("no install is granted")


def test_the_machine_of_an_open_grant_installs() -> None:
    """The property tests are not vacuous: the right machine at the right time gets the installer."""
    decision = decide(OWN, GOOD, 15.0)
    assert isinstance(decision, Install)
    assert decision.grant is GOOD


def test_firmware_may_know_only_its_mac() -> None:
    """iPXE of a machine without SMBIOS strings is let through to the ramdisk, which checks everything again."""
    assert isinstance(decide(BootFacts((MACS[0],), "", "", own_address=True), GOOD, 15.0), Install)
    assert isinstance(decide(BootFacts((MACS[0],), "", "", complete=True, own_address=True), GOOD, 15.0), Refuse)


def test_a_swapped_uuid_is_the_same_machine() -> None:
    """BMC and DMI tables may disagree about the byte order of the first three UUID fields; nothing else may differ."""
    swapped = str(uuids.UUID(bytes=uuids.UUID(UUIDS[0]).bytes_le))
    assert isinstance(decide(replace(OWN, uuid=swapped), GOOD, 15.0), Install)
    assert isinstance(decide(replace(OWN, uuid=UUIDS[0][:-1] + "3"), GOOD, 15.0), Refuse)


def test_a_refusal_names_both_values_and_a_next_step() -> None:
    """For the journal, a wrong serial says what the machine has, what was granted, and what to do."""
    decision = decide(replace(OWN, serial="SN-9999"), GOOD, 15.0)
    assert isinstance(decision, Refuse)
    assert "SN-9999" in decision.reason
    assert "SN-0001" in decision.reason
    assert "bmk plan" in decision.hint


def test_a_machine_whose_tables_say_nothing_is_installed_by_uuid_and_mac() -> None:
    """When the file says `serial: none`; else the refusal says so."""
    silent = replace(OWN, serial="Default string")
    assert isinstance(decide(silent, replace(GOOD, serial="none"), 15.0), Install)
    assert isinstance(decide(replace(silent, uuid=UUIDS[1]), replace(GOOD, serial="none"), 15.0), Refuse)
    assert isinstance(decide(replace(silent, uuid=None), replace(GOOD, serial="none"), 15.0), Refuse)
    refused = decide(silent, GOOD, 15.0)
    assert isinstance(refused, Refuse)
    assert "serial: none" in refused.hint
