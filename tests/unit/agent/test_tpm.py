"""What is said to a TPM and read of it: honest bytes are understood, all others are an error that is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.agent.errors import AgentError
from bmk.agent.model import Order
from bmk.agent.nonces.tpm import commitment, obtain, qualifying, sealed
from bmk.agent.tpm.commands import Tpm, command
from bmk.agent.tpm.wire import ECC_EK, RSA_EK, SIGNER, Quote, Reader, endorsement_key, selected, selection, signature

secrets = st.binary(min_size=32, max_size=32)
# As swtpm 0.7.1 wrote it, and what tpm2-tools would call its name.
EK = bytes.fromhex(
    "0001000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa00060080004300100800000000000100"
    "cc6294649380705f1703deae58d28bc43a1e601ffc5e15c18ed7b8da8a18f9a575a86d958988638570b1efa6a5377ad9d099d41e3b69847765b4"
    "ea27a2494cdf5fa5cc8afc9e57cace543387edb6fb79c5aaee96397fc392ee1b9f24e8787049622a8e9693530da5b1e8d22e2584a56f12618874"
    "010d131060c5a1905d698d9ca46aa85663ad348bec43f5e7a5ad4737e86b23f23368c9e40bcf8c859c4b7a52847f815ba1bc62091b43811ca9b6"
    "b0ec7f24fd62ecf7c9d721814f5b6980ca225b36f657c7267d8809a25e400613b5b77e813d8224824f037fc0aa74429b9ecd208e7a1b56d7a975"
    "071ea66e247087d6b6bcefe7d1f2246f7c29c7b14357aecf"
)
EK_DIGEST = "15bd8309e7c337a46d08d0398a9c012685571f6b93e6e0bb571441b4667f62f2"


def test_an_endorsement_key_is_named_by_its_digest() -> None:
    """The digest that a person compares is the SHA-256 of the public area, as other tools print it."""
    assert endorsement_key(EK).digest == EK_DIGEST
    assert endorsement_key(EK).rsa


@pytest.mark.parametrize("template", [RSA_EK, ECC_EK, SIGNER])
def test_a_key_of_another_kind_is_none(template: Any) -> None:
    """One changed bit of its properties: it could leave its TPM, or sign what others made."""
    raw = template.asked()
    template.read(raw)
    for place in range(len(template.prefix)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="kind"):
            template.read(bytes(changed))
    for wrong in (raw[:-1], raw + b"\0", template.prefix):
        with pytest.raises(ValueError, match=r"it ends too early|more than there should be"):
            template.read(wrong)


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=300).map(lambda tail: RSA_EK.prefix + tail)))
def test_strange_bytes_are_a_value_error(data: bytes) -> None:
    """Whatever was sent as a key, a quote or a signature: read, or refused in one way."""
    reads: tuple[Callable[[bytes], object], ...] = (endorsement_key, SIGNER.read, Quote.read, signature)
    for read in reads:
        try:
            read(data)
        except ValueError:
            continue


@given(st.sets(st.integers(0, 23)))
def test_a_selection_is_read_as_it_was_written(numbers: set[int]) -> None:
    """Registers as a bit map."""
    assert selected(Reader(selection(numbers))) == tuple(sorted(numbers))


def test_a_command_is_laid_out_as_the_specification_says() -> None:
    """TPM2_FlushContext of one handle, and a command with an empty password, by hand."""
    assert command(0x165, (), bytes.fromhex("80000001")).hex() == "80010000000e0000016580000001"
    with_password = command(0x14E, (1, 1), bytes.fromhex("00200000"), (0x40000009,))
    assert with_password.hex() == "8002000000230000014e00000001000000010000000940000009000000000000200000"


@given(st.binary(max_size=64), st.booleans())
def test_a_tpm_that_answers_anything_is_an_agent_error(answer: bytes, good: bool) -> None:
    """A broken TPM ends the attempt with a reason that the boot service is told; it ends the agent in no other way."""
    told: list[dict[str, Any]] = []
    head = bytes.fromhex("8002") + bytes(8) if good else b""
    with pytest.raises(AgentError) as failed:
        obtain(lambda: nullcontext(lambda _: head + answer), Order("http://x", "g", "tpm"), told.append, lambda _: None)
    assert failed.value.code == "tpm"
    assert all(set(one) == {"problem"} for one in told)
    assert told


@given(st.binary(max_size=200))
def test_reading_registers_ends(answer: bytes) -> None:
    """A TPM that names registers which nobody asked for is not asked for ever."""
    try:
        Tpm(lambda _: bytes.fromhex("8001") + bytes(8) + answer).pcrs(range(10))
    except ValueError:
        return


@given(secrets, secrets, secrets)
def test_what_is_sealed_is_opened_by_the_same_only(nonce: bytes, carried: bytes, other: bytes) -> None:
    """Both sides agree; another credential opens something else, which the commitment does not fit."""
    assert sealed(sealed(nonce, carried), carried) == nonce
    if carried != other:
        assert commitment(sealed(sealed(nonce, carried), other), "g") != commitment(nonce, "g")


@given(secrets)
def test_what_is_said_in_public_is_different_for_each_use(secret: bytes) -> None:
    """By grant and by purpose: nothing that was seen on the network fits elsewhere."""
    said = {
        commitment(secret, "a"),
        commitment(secret, "b"),
        qualifying(secret, "a").hex(),
        qualifying(secret, "b").hex(),
    }
    assert len(said) == 4
    assert secret.hex() not in said
