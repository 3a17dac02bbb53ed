"""The deployer's side of a TPM: credentials that one TPM opens, quotes that are checked, and the TPMs of hosts."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.tpm.wire import ECC_EK, RSA_EK, SIGNER, Public, Reader, sized
from bmk.boot import grants
from bmk.boot.grants import Grant
from bmk.boot.request_context import RequestContext
from bmk.boot.tpm.accepted import Seen, accept, accepted, refuse, remember, seen, waiting
from bmk.boot.tpm.credential import check_quote, issuer, make_credential
from bmk.boot.tpm.measured import changes
from bmk.boot.tpm.secret import carried, nonce
from bmk.errors import PreflightRefused
from bmk.journal import Journal
from tests.unit.boot.asking import ask
from tests.unit.boot.test_routes import Wanted, open_for

EK, OTHER = "1" * 64, "2" * 64
NAMES = st.binary(min_size=34, max_size=34)

# As swtpm 0.7.1 signed PCRs 0 and 7 before anything was booted, for the qualifying data "known answer".
AK = bytes.fromhex(
    "0023000b00050472000000100018000b000300100020e0c754b2e6ef73d6c32ffbf3e33f1ea07c77aa2bf9046ac2e5a14be08f2623410020e579"
    "667140df0191a2673055b205ef52d42bc1634645ae8c68753af1925b0bb1"
)
QUOTED = bytes.fromhex(
    "ff54434780180022000b2e6028a35292c080808849e1cda2af00901ae9c2171077773de71c5a675d0a0a000c6b6e6f776e20616e73776572"
    "000000000000002a000000010000000001201910230016363600000001000b038100000020f5a5fd42d16a20302798ef6ed309979b43003d"
    "2320d9f0e8ea9831a92759fb4b"
)
SIGNED = bytes.fromhex(
    "0018000b0020148ed4dce43361d28c12a6f3d39e1c68459a44e59b6ce6ade533581f1c7981210020c58dbd729ab9bec13658f155e407161ac9ef"
    "eee89d14716ba75a313b027d81ec"
)
PCRS = {0: bytes(32), 7: bytes(32)}


class SoftTpm:
    """TPM2_ActivateCredential as the specification describes it, with keys that are here: another implementation."""

    def __init__(self, rsa_key: rsa.RSAPrivateKey | None = None) -> None:
        self.rsa, self.ecc = rsa_key, ec.generate_private_key(ec.SECP256R1())

    def key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        return self.rsa.public_key() if self.rsa else self.ecc.public_key()

    def ek(self) -> Public:
        if self.rsa:
            return RSA_EK.read(RSA_EK.prefix + sized(self.rsa.public_key().public_numbers().n.to_bytes(256, "big")))
        point = self.ecc.public_key().public_numbers()
        return ECC_EK.read(ECC_EK.prefix + sized(point.x.to_bytes(32, "big")) + sized(point.y.to_bytes(32, "big")))

    def activate(self, name: bytes, credential: bytes, secret: bytes) -> bytes | None:
        """What it carries; None where a TPM would refuse."""
        fields = Reader(Reader(credential).sized())
        integrity, identity = fields.sized(), fields.rest()
        seed = self._seed(Reader(secret).sized())
        key = _kdfa(seed, b"INTEGRITY", b"", 256)
        if hmac.new(key, identity + name, hashlib.sha256).digest() != integrity:
            return None
        opened = Cipher(AES(_kdfa(seed, b"STORAGE", name, 128)), CFB(bytes(16))).decryptor().update(identity)
        return Reader(opened).sized()

    def _seed(self, secret: bytes) -> bytes:
        if self.rsa:
            label = b"IDENTITY\0"
            return self.rsa.decrypt(secret, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label))
        fields = Reader(secret)
        x, y = fields.sized(), fields.sized()
        point = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()).public_key()
        own = self.ecc.public_key().public_numbers().x.to_bytes(32, "big")
        return hashlib.sha256((1).to_bytes(4) + self.ecc.exchange(ec.ECDH(), point) + b"IDENTITY\0" + x + own).digest()


def _kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    message = (1).to_bytes(4) + label + b"\0" + context + bits.to_bytes(4)
    return hmac.new(key, message, hashlib.sha256).digest()[: bits // 8]


TPMS = [SoftTpm(rsa.generate_private_key(65537, 2048)), SoftTpm()]


@pytest.mark.parametrize("tpm", TPMS, ids=["rsa", "ecc"])
@given(name=NAMES, other=NAMES, secret=st.binary(max_size=32))
def test_a_credential_is_for_one_tpm_and_one_key(tpm: SoftTpm, name: bytes, other: bytes, secret: bytes) -> None:
    """The TPM of the endorsement key opens it while the named key is there; with another key it opens nothing."""
    credential, opener = make_credential(tpm.ek(), name, secret)
    assert tpm.activate(name, credential, opener) == secret
    assert other == name or tpm.activate(other, credential, opener) is None
    assert secret not in credential + opener or len(secret) < 4


@given(st.binary(min_size=256, max_size=256), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_keys_that_are_none_are_a_value_error(modulus: bytes, x: bytes, y: bytes) -> None:
    """A stranger's numbers: a modulus of any kind, a point beside the curve."""
    keys = [RSA_EK.read(RSA_EK.prefix + sized(modulus)), ECC_EK.read(ECC_EK.prefix + sized(x) + sized(y))]
    for key in keys:
        try:
            make_credential(key, b"name", b"secret")
        except ValueError:
            continue


def test_a_real_tpms_quote_is_good() -> None:
    """As recorded: its registers, what it was about, and how often the TPM was started."""
    quote = check_quote(SIGNER.read(AK), QUOTED, SIGNED, b"known answer", PCRS)
    assert (quote.pcrs, quote.resets) == ((0, 7), 1)


@given(st.integers(0, len(QUOTED) - 1), st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_a_changed_quote_is_none(at: int, signed_at: int, change: int) -> None:
    """Any byte of it or of its signature."""
    for quoted, signed in ((_changed(QUOTED, at, change), SIGNED), (QUOTED, _changed(SIGNED, signed_at, change))):
        with pytest.raises(ValueError, match=r"."):
            check_quote(SIGNER.read(AK), quoted, signed, b"known answer", PCRS)


def _changed(data: bytes, at: int, change: int) -> bytes:
    return data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("about", "pcrs", "why"),
    [
        (b"another grant", PCRS, "about something else"),
        (b"known answer", {0: bytes(32), 7: bytes([1]) * 32}, "other values"),
        (b"known answer", {0: bytes(32)}, "other values"),
        (b"known answer", {0: bytes(32), 4: bytes(32)}, "other values"),
    ],
)
def test_a_quote_is_for_one_question(about: bytes, pcrs: dict[int, bytes], why: str) -> None:
    """Another nonce, other values, other registers."""
    with pytest.raises(ValueError, match=why):
        check_quote(SIGNER.read(AK), QUOTED, SIGNED, about, pcrs)


@pytest.mark.parametrize("tpm", TPMS, ids=["rsa", "ecc"])
def test_the_certificates_issuer_is_named_if_it_is_of_this_key(tpm: SoftTpm) -> None:
    """With what vendors leave behind it in the TPM's memory; a certificate of another key, or none, names nobody."""
    signer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Maker")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().issuer_name(name).subject_name(x509.Name([])).public_key(tpm.key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
    certificate = made.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)
    assert issuer(certificate + b"\xff" * 40, tpm.ek()) == "O=Maker"
    other = next(one for one in TPMS if one is not tpm)
    assert [issuer(certificate, other.ek()), issuer(b"", tpm.ek()), issuer(certificate[:99], tpm.ek())] == ["", "", ""]


def test_the_secrets_of_a_grant_tell_nothing_of_each_other() -> None:
    """One for the proofs, one for each signing key."""
    root = bytes(range(32))
    assert len({root, nonce(root), carried(root, b"one"), carried(root, b"two")}) == 4


def test_a_host_has_one_tpm_and_a_tpm_one_host(journal: Journal) -> None:
    """Accepting is journaled, another one takes its place, and what is one host's is no other's until it is refused."""
    accept(journal, "cp-1", EK, 10)
    accept(journal, "cp-1", OTHER, 20)
    assert accepted(journal, "cp-1") == OTHER
    with pytest.raises(PreflightRefused, match="cp-1"):
        accept(journal, "cp-2", OTHER, 30)
    assert refuse(journal, "cp-1", 40)
    assert not refuse(journal, "cp-1", 50)
    accept(journal, "cp-2", OTHER, 60)
    told = [event.kind for event in journal.since(host="cp-1")]
    assert told == ["tpm.accepted", "tpm.accepted", "tpm.refused"]


def test_what_is_presented_is_kept_once_and_bounded(journal: Journal) -> None:
    """The newest few, each once: a stranger that makes up a thousand keys fills nothing."""
    for number in range(30):
        remember(journal, "cp-1", Seen(f"{number % 12:064x}", "", "10.0.0.1", "", number))
    kept = [one.ek for one in seen(journal, "cp-1")]
    assert (len(kept), len(set(kept)), kept[-1]) == (8, 8, f"{29 % 12:064x}")


@pytest.mark.parametrize("change", ["replaced", "refused"])
def test_the_open_grant_of_a_tpm_that_counts_no_more_is_over(
    context: RequestContext, wanted: Wanted, change: str
) -> None:
    """It may have met the challenge already; the first acceptance ends nothing."""
    accept(context.reader, "cp-1", EK, 1)
    grant = _open(context, wanted)
    accept(context.reader, "cp-1", EK, 2)
    assert grants.get(context.reader, grant.id).ended is None
    _ = accept(context.reader, "cp-1", OTHER, 3) if change == "replaced" else refuse(context.reader, "cp-1", 3)
    assert grants.get(context.reader, grant.id).outcome == "revoked"


def test_whom_people_have_to_look_at_is_said(context: RequestContext) -> None:
    """Hosts that are to be proven by a TPM and have none accepted, by name and with the command; nobody else."""
    hosts = [context.dc.hosts[name] for name in ("cp-1", "worker-1") if name in context.dc.hosts]
    assert waiting(context.reader, hosts, "hall") == ""
    by_tpm = [replace(h, profile=h.profile.model_copy(update={"attest": _way(h)})) for h in hosts]
    assert "bmk tpm accept hall HOST" in waiting(None, by_tpm, "hall")
    for host in by_tpm:
        accept(context.reader, host.name, hashlib.sha256(host.name.encode()).hexdigest(), 1)
    assert waiting(context.reader, by_tpm, "hall") == ""


def _way(host: Any) -> Any:
    return host.profile.attestation.model_copy(update={"way": "tpm"})


def test_registers_that_changed_are_named() -> None:
    """By number, in order; a first time and a TPM without that bank are said."""
    assert changes({"4": "a", "9": "b", "10": "c"}, {"4": "x", "9": "b", "10": "y"}) == (
        "PCRs 4, 10 are others than the last time"
    )
    assert changes({"4": "a"}, {"4": "a"}) == "as the last time"
    assert "first" in changes(None, {"4": "a"})
    assert "no SHA-256" in changes(None, {})


def _open(context: RequestContext, wanted: Wanted, attest: str = "tpm") -> Grant:
    return open_for(context, lambda host: replace(wanted(host), attest=attest))


def _presented(tpm: SoftTpm) -> dict[str, str]:
    return {"ek": base64.b64encode(tpm.ek().raw).decode(), "ak": base64.b64encode(AK).decode(), "certificate": ""}


def test_the_route_answers_the_accepted_tpm_only(context: RequestContext, wanted: Wanted) -> None:
    """At the host's address, while its grant is open; what it answers opens in that TPM, to what the deployer knows."""
    tpm, stranger = TPMS
    accept(context.reader, "cp-1", tpm.ek().digest, 1)
    grant = _open(context, wanted)
    where = f"/agent/{grant.id}/challenge"
    assert ask(context, where, body=_presented(stranger)).status == 403
    assert ask(context, where, body=_presented(tpm), client="10.20.0.99").status == 403
    answer = ask(context, where, body=_presented(tpm))
    parts = {name: base64.b64decode(text) for name, text in answer.json.items()}
    opened = tpm.activate(SIGNER.read(AK).name, parts["credential"], parts["secret"])
    assert opened is not None
    asyncio.run(context.writer.run(lambda journal: grants.end(journal, grant.id, "revoked", context.now())))
    assert ask(context, where, body=_presented(tpm)).status == 403


@pytest.mark.parametrize("body", [{}, {"ek": "AA=="}, {"problem": ""}, {"ek": 1, "ak": 2}, [], {"problem": "\x1b]0;x"}])
def test_what_cannot_be_read_is_refused(context: RequestContext, wanted: Wanted, body: Any) -> None:
    """With the one text that all refusals have; the journal shows nothing that a terminal would obey."""
    accept(context.reader, "cp-1", EK, 1)
    grant = _open(context, wanted)
    answer = ask(context, f"/agent/{grant.id}/challenge", body=body)
    assert answer.status == 403
    assert b"bmk why" in answer.body
    assert all(event.text.isprintable() for event in context.reader.since(host="cp-1"))


def test_a_grant_that_is_proven_otherwise_has_no_challenge(context: RequestContext, wanted: Wanted) -> None:
    """Its nonce came by the BMC, and is not given away over the network too; a grant that is none neither."""
    accept(context.reader, "cp-1", TPMS[0].ek().digest, 1)
    grant = _open(context, wanted, "mailbox")
    for name in (grant.id, "f" * 32, "nonsense"):
        assert ask(context, f"/agent/{name}/challenge", body=_presented(TPMS[0])).status == 403
