"""What a TPM is asked: nine commands of TPM 2.0 part 3, over whatever carries one command and its answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bmk.agent.errors import AgentError
from bmk.agent.tpm.wire import (
    ECC_EK,
    NULL,
    RSA_EK,
    SHA256,
    SIGNER,
    KeyTemplate,
    Public,
    Reader,
    selected,
    selection,
    sized,
)

Exchange = Callable[[bytes], bytes]  # one command, its answer

DEVICE = Path("/dev/tpmrm0")  # with the kernel's resource manager, which forgets what was loaded
_LONGEST = 4096  # bytes of an answer
_ENDORSEMENT, _NO_HANDLE, _PASSWORD = 0x4000000B, 0x40000007, 0x40000009
_CREATE_PRIMARY, _ACTIVATE, _POLICY_SECRET, _QUOTE, _FLUSH = 0x131, 0x147, 0x151, 0x158, 0x165
_NV_READ, _NV_READ_PUBLIC, _START_SESSION, _PCR_READ = 0x14E, 0x169, 0x176, 0x17E
_CERTIFICATES = ((RSA_EK, 0x01C00002), (ECC_EK, 0x01C0000A))  # where vendors leave those of endorsement keys
_LARGEST_CERTIFICATE, _PART = 4096, 512  # bytes; each TPM reads that many at once
_POLICY_SESSION = 1
_NO_SENSITIVE = sized(sized(b"") + sized(b""))


@contextmanager
def opened() -> Iterator[Exchange]:
    """This machine's TPM. AgentError when it has none."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise missing(f"{DEVICE}: {error.strerror}") from None

    def exchange(command: bytes) -> bytes:
        os.write(device, command)
        return os.read(device, _LONGEST)

    try:
        yield exchange
    finally:
        os.close(device)


def missing(why: str) -> AgentError:
    """There is no TPM to speak to."""
    hint = "switch the TPM on in the firmware's setup, or choose another way of attestation in dc.yml"
    return AgentError("this machine shows no TPM 2.0", why=why, hint=hint, code="tpm")


def unproven(why: str) -> AgentError:
    """Whoever answered the challenge is not who should have."""
    return AgentError(
        "the answer to the challenge is not from this data center's boot service, or was changed on its way",
        why=why,
        hint="look for a stranger on the boot network; nothing it said was done",
        code="unproven",
    )


class Tpm:
    """Keys of one TPM for as long as it is open; `close` makes it forget them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._loaded: list[int] = []

    def endorsement_key(self) -> tuple[int, Public, bytes]:
        """Handle, public key and certificate (DER, b"" if the vendor left none) of the key that is this TPM's for ever.

        The kind that has a certificate; RSA if both have or none.
        """
        held = [(template, self._certificate(index)) for template, index in _CERTIFICATES]
        template, certificate = next((one for one in held if one[1]), held[0])
        return *self.made(template), certificate

    def signing_key(self) -> tuple[int, Public]:
        """Handle and public key of the key that signs what the TPM itself says. The same each time."""
        return self.made(SIGNER)

    def made(self, template: KeyTemplate) -> tuple[int, Public]:
        """Handle and public key of a key of this kind, the same each time."""
        asked = _NO_SENSITIVE + sized(template.asked()) + sized(b"") + bytes(4)
        handle, answer = self._create("CreatePrimary", _CREATE_PRIMARY, (_ENDORSEMENT,), asked, (_PASSWORD,))
        try:
            return handle, template.read(Reader(answer).sized())
        except ValueError as error:
            raise AgentError("the TPM made another key than it was asked for", why=str(error), code="tpm") from None

    def activate(self, signer: int, endorsement: int, credential: bytes, secret: bytes) -> bytes:
        """What a credential carries, which was made for these two keys. AgentError when it was made for others."""
        session = self._session()
        # The endorsement key's policy asks for the hierarchy's secret: an empty one, until somebody sets another.
        no_policy = sized(b"") * 3 + bytes(4)
        self._ask("PolicySecret", _POLICY_SECRET, (_ENDORSEMENT, session), no_policy, (_PASSWORD,))
        keys = (signer, endorsement)
        try:
            answer = self._ask("ActivateCredential", _ACTIVATE, keys, credential + secret, (_PASSWORD, session))
        except AgentError as error:
            raise unproven(error.why) from None
        self._loaded.remove(session)  # it served once
        return Reader(answer).sized()

    def pcrs(self, wanted: Sequence[int]) -> dict[int, bytes]:
        """Values of registers in the SHA-256 bank; without those that this TPM does not keep."""
        found: dict[int, bytes] = {}
        while left := [number for number in wanted if number not in found]:
            fields = Reader(self._ask("PCR_Read", _PCR_READ, (), selection(left)))
            fields.take(4)  # how often they changed
            numbers, count = selected(fields), fields.number(4)
            if not numbers or count != len(numbers) or not set(numbers) <= set(left):
                break
            found |= {number: fields.sized() for number in numbers}
        return found

    def quote(self, signer: int, qualifying: bytes, pcrs: Sequence[int]) -> tuple[bytes, bytes]:
        """What the TPM says of these registers, and its signature."""
        asked = sized(qualifying) + NULL.to_bytes(2, "big") + selection(pcrs)
        fields = Reader(self._ask("Quote", _QUOTE, (signer,), asked, (_PASSWORD,)))
        return fields.sized(), fields.rest()

    def close(self) -> None:
        """Forget keys and sessions, of which a TPM has room for three. One that balks is let be: it goes off soon."""
        while self._loaded:
            with suppress(AgentError):
                self._ask("FlushContext", _FLUSH, (), self._loaded.pop().to_bytes(4, "big"))

    def _session(self) -> int:
        asked = sized(os.urandom(16)) + sized(b"") + bytes([_POLICY_SESSION]) + NULL.to_bytes(2, "big")
        handle, _ = self._create(
            "StartAuthSession", _START_SESSION, (_NO_HANDLE, _NO_HANDLE), asked + SHA256.to_bytes(2, "big")
        )
        return handle

    def _certificate(self, index: int) -> bytes:
        """b"" when there is none, or none that anybody may read."""
        try:
            public = Reader(Reader(self._ask("NV_ReadPublic", _NV_READ_PUBLIC, (index,))).sized())
            public.take(10)  # index, hash, attributes
            public.sized()
            size = min(public.number(2), _LARGEST_CERTIFICATE)
            parts = [self._nv(index, at, min(_PART, size - at)) for at in range(0, size, _PART)]
        except (AgentError, ValueError):
            return b""
        return b"".join(parts)

    def _nv(self, index: int, at: int, count: int) -> bytes:
        asked = count.to_bytes(2, "big") + at.to_bytes(2, "big")
        return Reader(self._ask("NV_Read", _NV_READ, (index, index), asked, (_PASSWORD,))).sized()

    def _create(
        self, what: str, code: int, handles: Sequence[int], asked: bytes, auth: Sequence[int] = ()
    ) -> tuple[int, bytes]:
        """A command whose answer begins with the handle of what it loaded."""
        answer = Reader(self._answer(what, command(code, handles, asked, auth)))
        handle = answer.number(4)
        self._loaded.append(handle)
        return handle, _parameters(answer, auth)

    def _ask(self, what: str, code: int, handles: Sequence[int], asked: bytes = b"", auth: Sequence[int] = ()) -> bytes:
        return _parameters(Reader(self._answer(what, command(code, handles, asked, auth))), auth)

    def _answer(self, what: str, sent: bytes) -> bytes:
        try:
            answer = Reader(self._exchange(sent))
            answer.take(6)  # tag and size
            refused = answer.number(4)
        except (OSError, ValueError) as error:
            raise AgentError(f"the TPM does not answer TPM2_{what}", why=str(error), code="tpm", retry=True) from None
        if refused:
            hint = "somebody may have taken ownership of it: clear the TPM in the firmware's setup"
            raise AgentError(f"the TPM refused TPM2_{what}", why=f"response code {refused:#x}", hint=hint, code="tpm")
        return answer.rest()


def command(code: int, handles: Sequence[int], asked: bytes, auth: Sequence[int] = ()) -> bytes:
    """A command. `auth`: a session for each handle that needs one; passwords are empty, and policies prove the rest."""
    sessions = b"".join(session.to_bytes(4, "big") + sized(b"") + b"\0" + sized(b"") for session in auth)
    area = len(sessions).to_bytes(4, "big") + sessions if auth else b""
    body = code.to_bytes(4, "big") + b"".join(handle.to_bytes(4, "big") for handle in handles) + area + asked
    return (0x8002 if auth else 0x8001).to_bytes(2, "big") + (len(body) + 6).to_bytes(4, "big") + body


def _parameters(answer: Reader, auth: Sequence[int]) -> bytes:
    return answer.take(answer.number(4)) if auth else answer.rest()
