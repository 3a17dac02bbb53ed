"""What deployer and ramdisk compute of a secret: equal on both sides, and different for anything that differs."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.errors import AgentError
from bmk.agent.hardware import one_line
from bmk.agent.nonces import choose, console, opened
from bmk.agent.proof import NONCE, PAYLOAD, ProofKey, pack, same, unpack

nonces = st.binary(min_size=NONCE, max_size=NONCE)
GRANT = "0123456789abcdef" * 2


def test_the_key_is_that_of_rfc_5869() -> None:
    """HKDF-SHA256, computed here step by step: another implementation would come to the same key."""
    nonce = bytes(range(NONCE))
    extracted = hmac.new(GRANT.encode(), nonce, hashlib.sha256).digest()
    expanded = hmac.new(extracted, b"bmk attestation" + b"\x01", hashlib.sha256).digest()
    assert ProofKey.derive(nonce, GRANT).secret == expanded


@given(nonces, nonces, st.binary(max_size=40), st.binary(max_size=40))
def test_a_proof_is_for_one_secret_one_verb_and_these_bytes(one: bytes, other: bytes, body: bytes, more: bytes) -> None:
    """Another secret, grant, verb, direction or body gives another proof."""
    key = ProofKey.derive(one, GRANT)
    proof = key.request("claim", body)
    assert same(proof, ProofKey.derive(one, GRANT).request("claim", body))
    others = {
        key.request("done", body),
        ProofKey.derive(one, "f" * 32).request("claim", body),
        key.answer("claim", "", body),
    }
    others |= {key.request("claim", body + b"\0" + more)}
    others |= {ProofKey.derive(other, GRANT).request("claim", body)} if other != one else set()
    assert proof not in others


@given(nonces, st.binary(max_size=20))
def test_an_answer_belongs_to_its_request(nonce: bytes, body: bytes) -> None:
    """An answer that was recorded earlier does not fit a request with other content."""
    key = ProofKey.derive(nonce, GRANT)
    first, second = key.request("claim", b"facts"), key.request("claim", b"other facts")
    assert key.answer("claim", first, body) != key.answer("claim", second, body)


def test_a_key_does_not_print_itself() -> None:
    """Neither the secret nor a part of it is in what a traceback or a log would show."""
    key = ProofKey.derive(b"\x11" * NONCE, GRANT)
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


@given(nonces, st.binary(max_size=64))
def test_what_was_packed_is_unpacked_whatever_padding_follows(nonce: bytes, padding: bytes) -> None:
    """BMCs hand back whole blocks."""
    assert len(pack(nonce)) == PAYLOAD
    assert unpack(pack(nonce) + padding) == nonce


@given(nonces, st.integers(0, PAYLOAD - 1), st.integers(1, 255))
def test_a_damaged_payload_is_none(nonce: bytes, place: int, change: int) -> None:
    """One byte that differs, or is missing: there is no nonce, rather than a wrong one."""
    data = bytearray(pack(nonce))
    data[place] ^= change
    assert unpack(bytes(data)) is None
    assert unpack(pack(nonce)[:place]) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_hold_no_nonce(data: bytes) -> None:
    """What others left in a mailbox or on a volume is not taken for ours."""
    assert unpack(data) is None
    assert opened({"mailbox": data, "media": None}) == {}


@given(nonces, st.sampled_from(["mailbox", "media", "console", "none", "", "tpm"]))
def test_a_nonce_that_is_there_counts_whatever_the_command_line_says(nonce: bytes, said: str) -> None:
    """Downgrade: the command line comes over the boot network, and cannot talk the machine out of its proof."""
    assert choose({"mailbox": nonce}, said) == nonce


@pytest.mark.parametrize("said", ["mailbox", "media", "", "NONE", "tpm"])
def test_without_a_nonce_only_none_goes_on(said: str) -> None:
    """A way that should have left a secret and did not, or no way at all, ends before anything is asked."""
    assert choose({}, "none") is None
    with pytest.raises(AgentError, match="no nonce was found"):
        choose({}, said)


def test_a_console_makes_a_fresh_nonce() -> None:
    """Every boot of the ramdisk makes its own."""
    first, second = choose({}, "console"), choose({}, "console")
    assert first is not None
    assert len(first) == NONCE
    assert first != second


def _printed(nonce: bytes, grant: str = GRANT) -> bytes:
    return one_line(console.line(grant, nonce)).encode()


@given(nonces, st.binary(max_size=200), st.binary(max_size=200))
def test_a_nonce_is_found_among_other_text(nonce: bytes, before: bytes, after: bytes) -> None:
    """Firmware, iPXE and the kernel print to the same console."""
    assert console.nonces_in(before + _printed(nonce) + after, GRANT) == {nonce}


@given(nonces, st.integers(8, 110), st.binary(min_size=1, max_size=3))
def test_a_line_with_something_in_it_is_not_read(nonce: bytes, place: int, noise: bytes) -> None:
    """A kernel message in the middle of the line, a lost or a changed character: nothing, or the same nonce."""
    text = _printed(nonce)
    assert console.nonces_in(text[:place] + noise + text[place:], GRANT) <= {nonce}
    assert console.nonces_in(text[:place] + text[place + 1 :], GRANT) <= {nonce}


def test_only_this_grant_s_lines_count_and_every_one_of_them() -> None:
    """An old attempt's line is in the console's history; two different ones of this attempt are both told."""
    text = _printed(b"\1" * NONCE, "f" * 32) + _printed(b"\2" * NONCE) + _printed(b"\2" * NONCE)
    assert console.nonces_in(text, GRANT) == {b"\2" * NONCE}
    assert console.nonces_in(text + _printed(b"\3" * NONCE), GRANT) == {b"\2" * NONCE, b"\3" * NONCE}


@given(st.text(max_size=80), nonces)
def test_text_that_a_stranger_chose_cannot_say_a_nonce(reason: str, nonce: bytes) -> None:
    """A refusal's reason is printed by the ramdisk: it stays within a line that begins otherwise."""
    forged = one_line(f"FAILED: {reason}\r\nbmk: {console.line(GRANT, nonce)}\r\n")
    assert console.nonces_in(forged.encode(), GRANT) == set()
