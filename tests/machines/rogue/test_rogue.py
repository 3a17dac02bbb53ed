"""A stranger on the boot network, faster than the host whose MAC it has: what it gets, by each way of proof.

Real firmware, iPXE and ramdisk on both sides, a real provision between them. `tests/services/boot/test_rogue.py` plays
the same in seconds, to the end of the installation.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmk.boot import grants

from .conftest import OTHER_UUID, WAYS, Room, stranger, until

pytestmark = pytest.mark.machines

PROVEN = ("mailbox", "media", "console")
PUBLIC = {"ipxe": 200, "vmlinuz": 200, "initrd.img": 200, "": 404}  # the ramdisk asks for /: does anybody answer?
GUESS = bytes(range(32))


@pytest.mark.parametrize("way", WAYS)
def test_with_the_mac_alone_it_is_sent_to_its_disk(room: Room, tmp_path: Path, way: str) -> None:
    """It gets the host's address and the answer of a host that nobody installs; `bmk why` names its UUID."""
    with stranger(room, way, tmp_path / "stranger", knows=False) as intruder:
        intruder.says(f"bmk: by-{way}: nothing to install now")
        assert intruder.answered() == {"ipxe": 200}
    assert room.grant(way).claimed is None
    assert f"the machine's UUID is {OTHER_UUID}" in room.why(way)


@pytest.mark.parametrize("way", ["mailbox", "media"])
def test_with_all_that_can_be_known_its_claim_is_refused(room: Room, tmp_path: Path, way: str) -> None:
    """It gets kernel and ramdisk, which are public, and proves itself with a secret that it made up: no spec, no image,
    no pin. `bmk why` names address and MAC.
    """
    with stranger(room, way, tmp_path / "stranger", knows=True, guess=GUESS) as intruder:
        assert intruder.claims() == {**PUBLIC, "claim": 403}
        intruder.says("the boot service refused the claim")
    nobody_but_named(room, way, "a wrong proof")


def test_what_it_says_on_its_own_console_is_not_heard(room: Room, tmp_path: Path) -> None:
    """The deployer reads the console of the machine whose BMC it identified: to the stranger it says to ask again."""
    with stranger(room, "console", tmp_path / "stranger", knows=True) as intruder:
        assert intruder.claims() == {**PUBLIC, "claim": 503}
    assert room.told("console", "attest.heard") == []
    nobody_but_named(room, "console", "asks before its secret was read")


def nobody_but_named(room: Room, way: str, text: str) -> None:
    """Nobody has the grant or a pinned key, and `bmk why` says who asked."""
    assert room.grant(way).claimed is None
    assert "host_keys" not in room.lab.journal.facts(f"by-{way}")
    said, host = room.why(way), room.hosts[way]
    assert text in said
    assert f"from {host.address}, MAC {host.mac}" in said


def test_the_hosts_go_on_after_it(room: Room) -> None:
    """Its question ended nothing: each host takes its grant, with the proof that came through its BMC."""
    for way in PROVEN:
        room.go_on(way)
    for way in PROVEN:
        until(lambda way=way: room.grant(way).claimed, f"by-{way} claims")
        room.stand_still(way)  # that is enough
        assert room.told(way, "attest.conflict") == []


def test_without_a_proof_it_takes_the_grant(room: Room, tmp_path: Path) -> None:
    """What `attest: none` costs, and what all of the above can fail by: the same machine is answered with the spec."""
    with stranger(room, "none", tmp_path / "stranger", knows=True) as intruder:
        assert intruder.claims() == {**PUBLIC, "claim": 200}
    taken = grants.how_taken(room.lab.journal, room.grant("none").id)
    assert taken is not None
    assert taken.client == str(room.hosts["none"].address)
    assert json.loads(taken.spec)["authorized_keys"]
