"""Attestation by TPM: real TPMs (swtpm), the real boot server and agent; strangers, liars and a man in the middle."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding

from bmk.agent.tpm.commands import Tpm, command
from bmk.agent.tpm.wire import ECC_EK, RSA_EK, KeyTemplate, Public, sized
from bmk.boot import grants
from bmk.boot.grants import Grant, GrantedImage, permission
from bmk.boot.tpm.accepted import accept, accepted, seen
from bmk.boot.tpm.measured import RECORD
from bmk.errors import PreflightRefused
from bmk.journal.diagnosis import diagnose
from bmk.journal.host_status import project
from bmk.lab.machines import tpm
from tests.services.boot.conftest import Boot, until

pytestmark = pytest.mark.services

HOST, OTHER = "cp-1", "cp-2"
_PLATFORM, _PASSWORD, _DEFINE, _WRITE = 0x4000000C, 0x40000009, 0x12A, 0x137
REPOSITORY = Path(__file__).parents[3]
Got = dict[str, Any]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where the host's TPM keeps its keys."""
    return _place(tmp_path / "own-tpm")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Where another machine's TPM keeps its keys."""
    return _place(tmp_path / "strange-tpm")


def _place(path: Path) -> Path:
    path.mkdir()
    return path


def digest(place: Path) -> str:
    """Of the endorsement key of a TPM."""
    with tpm.opened(place) as exchange:
        opened = Tpm(exchange)
        _, key, _ = opened.endorsement_key()
        opened.close()
    return key.digest


def certified(place: Path, template: KeyTemplate, index: int) -> str:
    """Leave a certificate of one of its endorsement keys in a TPM, as a vendor does; digest of that key."""
    with tpm.opened(place) as exchange:
        held = Tpm(exchange)
        _, key = held.made(template)
        held.close()
        certificate = _certificate(key)
        public = index.to_bytes(4, "big") + bytes.fromhex("000b420700010000") + len(certificate).to_bytes(2, "big")
        written = (
            command(_DEFINE, (_PLATFORM,), sized(b"") + sized(public), (_PASSWORD,)),
            command(_WRITE, (_PLATFORM, index), sized(certificate) + b"\0\0", (_PASSWORD,)),
        )
        assert [exchange(one)[6:10] for one in written] == [bytes(4)] * 2
    return key.digest


def _certificate(key: Public) -> bytes:
    numbers = key.numbers
    public: Any = RSAPublicNumbers(65537, numbers[0]).public_key() if key.rsa else None
    public = public or ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()  # type: ignore[call-arg,arg-type]
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Maker of TPMs")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().issuer_name(name).subject_name(x509.Name([])).public_key(public).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=9))
    return made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


def opened(boot: Boot) -> Grant:
    image = str(boot.artifacts()["node-image"]["sha256"])
    wanted = replace(permission(boot.dc.hosts[HOST], GrantedImage("node-image", image, image)), attest="tpm")
    return grants.open_grant(boot.journal, wanted, time.time())


def played(boot: Boot, log: Path, place: Path | None, **more: Any) -> Got:
    """A machine that says it is HOST, from power-on until its agent ends; its cable is then pulled."""
    host, machine = boot.host(HOST)
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [nic.mac for nic in host.nics], "disk": host.disk.serial}
    case = json.dumps({**facts, "nonces": {}, "tpm": str(place) if place else None, **more})
    command = (sys.executable, "-m", "tests.services.boot.player", boot.url, case)
    process = machine.start(*command, log=log, env={"PYTHONPATH": str(REPOSITORY)})
    until(lambda: process.poll() is not None, f"the agent ends; see {log}", 90)
    machine.close()
    boot.room.run("ip", "neigh", "flush", "all")
    got: Got = json.loads(log.read_text().splitlines()[-1])
    return got


def pinned(boot: Boot) -> Any:
    return boot.journal.facts(HOST).get("host_keys")


def why(boot: Boot) -> str:
    """What `bmk why` would say of a boot that ended now."""
    story = diagnose(boot.journal, HOST, project(boot.journal, "hall", None))
    return " ".join(event.text for event in story.events)


def test_the_accepted_tpm_installs(boot: Boot, tmp_path: Path, own: Path) -> None:
    """It opens the challenge, its claim and report are believed, and what it measured is kept with them."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    grant = opened(boot)
    real = played(boot, tmp_path / "real.log", own)
    assert pinned(boot) == real["keys"]
    assert grants.get(boot.journal, grant.id).outcome == "spent"
    facts = boot.journal.facts(HOST)
    assert facts["installed"]["attest"] == "tpm"
    assert accepted(boot.journal, HOST) == digest(own)  # for the next installation too
    assert (facts[RECORD]["ek"], sorted(facts[RECORD]["pcrs"], key=int)) == (digest(own), [str(n) for n in range(10)])


def test_a_tpm_that_nobody_accepted_ends_the_attempt(boot: Boot, tmp_path: Path, own: Path) -> None:
    """Nothing is trusted at first sight: it is shown, and the attempt is over at once; accepted, the next installs."""
    boot.start("boot-service", "nginx")
    grant = opened(boot)
    got = played(boot, tmp_path / "first.log", own)
    assert (got["booted"], got["spec"], pinned(boot)) == ("ramdisk", False, None)
    assert grants.get(boot.journal, grant.id).outcome == "failed"
    (shown,) = seen(boot.journal, HOST)
    host = boot.dc.hosts[HOST]
    assert (shown.ek, shown.client, shown.mac) == (digest(own), str(host.address), host.mac)
    assert digest(own) in why(boot)
    assert digest(own) in (tmp_path / "first.log").read_text()  # on its console, to compare with
    accept(boot.journal, HOST, shown.ek, time.time())
    opened(boot)
    assert pinned(boot) is None
    assert played(boot, tmp_path / "second.log", own)["keys"] == pinned(boot)


def test_a_stranger_with_a_tpm_of_its_own_gets_nothing(boot: Boot, tmp_path: Path, own: Path, strange: Path) -> None:
    """MAC, address, UUID and serial of the host, and faster: it is refused and named; the host installs after it."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    grant = opened(boot)
    got = played(boot, tmp_path / "stranger.log", strange)
    assert (got["booted"], got["spec"], pinned(boot)) == ("ramdisk", False, None)
    assert digest(own) not in (tmp_path / "stranger.log").read_text()
    assert grants.get(boot.journal, grant.id).claimed is None
    assert all(part in why(boot) for part in (digest(strange), f"MAC {boot.dc.hosts[HOST].mac}"))
    assert played(boot, tmp_path / "real.log", own)["keys"] == pinned(boot)


def test_a_tpm_is_accepted_for_one_host_only(boot: Boot, tmp_path: Path, own: Path, strange: Path) -> None:
    """The TPM that was accepted for another host proves nothing here, and cannot be accepted here too."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    accept(boot.journal, OTHER, digest(strange), time.time())
    opened(boot)
    got = played(boot, tmp_path / "other.log", strange)
    assert (got["spec"], pinned(boot)) == (False, None)
    with pytest.raises(PreflightRefused, match=OTHER):
        accept(boot.journal, HOST, digest(strange), time.time())


@pytest.mark.parametrize("how", ["own-secret", "own-key"])
def test_a_man_in_the_middle_of_the_challenge_writes_nothing(boot: Boot, tmp_path: Path, own: Path, how: str) -> None:
    """He answers with a secret of his own, or has one made for a key of his own: the ramdisk believes neither."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    grant = opened(boot)
    got = played(boot, tmp_path / "middle.log", own, between=how)
    assert (got["spec"], pinned(boot)) == (False, None)
    assert "not from this data center's boot service" in got["error"]
    assert grants.get(boot.journal, grant.id).claimed is None
    assert played(boot, tmp_path / "real.log", own)["keys"] == pinned(boot)


def test_an_answer_is_for_one_grant(boot: Boot, tmp_path: Path, own: Path) -> None:
    """What the deployer answered under an earlier grant opens in the same TPM, and is not believed under the next."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    opened(boot)
    played(boot, tmp_path / "first.log", own, between="watch")
    (answer,) = [line for line in (tmp_path / "first.log").read_text().splitlines() if line.startswith("ANSWERED")]
    before = pinned(boot)
    grant = opened(boot)
    got = played(boot, tmp_path / "second.log", own, between=answer.removeprefix("ANSWERED "))
    assert (got["spec"], pinned(boot)) == (False, before)
    assert grants.get(boot.journal, grant.id).claimed is None


def test_a_quote_that_does_not_fit_is_no_claim(boot: Boot, tmp_path: Path, own: Path) -> None:
    """The right machine, booted into something that lies about its registers: no spec, no pin, and it is told."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    grant = opened(boot)
    got = played(boot, tmp_path / "liar.log", own, lies=True)
    assert (got["spec"], pinned(boot), RECORD in boot.journal.facts(HOST)) == (False, None, False)
    assert grants.get(boot.journal, grant.id).claimed is None
    assert "it signs other values than were sent with it" in why(boot)


def test_a_machine_without_a_tpm_says_so(boot: Boot, tmp_path: Path, own: Path) -> None:
    """It cannot claim; the deployer is told why, in quotation marks, and waits for one that can."""
    boot.start("boot-service", "nginx")
    accept(boot.journal, HOST, digest(own), time.time())
    grant = opened(boot)
    got = played(boot, tmp_path / "bare.log", None)
    assert (got["spec"], pinned(boot)) == (False, None)
    assert '"this machine shows no TPM 2.0' in why(boot)
    assert grants.get(boot.journal, grant.id).claimed is None


@pytest.mark.parametrize(("template", "index"), [(RSA_EK, 0x01C00002), (ECC_EK, 0x01C0000A)], ids=["rsa", "ecc"])
def test_the_key_with_the_vendors_certificate_is_the_one(
    boot: Boot, tmp_path: Path, own: Path, template: KeyTemplate, index: int
) -> None:
    """It is read from the TPM's memory, whom it names is shown, and either kind of key installs once it is accepted."""
    boot.start("boot-service", "nginx")
    key = certified(own, template, index)
    opened(boot)
    played(boot, tmp_path / "first.log", own)
    (shown,) = seen(boot.journal, HOST)
    assert (shown.ek, shown.issuer) == (key, "O=Maker of TPMs")
    accept(boot.journal, HOST, key, time.time())
    opened(boot)
    assert played(boot, tmp_path / "second.log", own)["keys"] == pinned(boot)
