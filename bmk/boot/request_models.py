"""Everything that machines send, as models: bounded in size, free of control characters; anything else is refused."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
)

from bmk.agent.tpm.wire import PCRS, SIGNER, Public, endorsement_key
from bmk.journal.inspection import Inspection, Line
from bmk.journal.quoted import plain

MOST_EVENTS = 500  # in one request
_LONGEST = 2000  # characters of a text
_INSTALL = re.compile(r"/install/(?P<grant>[0-9A-Za-z_-]{1,64})/(?P<name>[a-z.]{1,32})(?:\?.*)?")

Text = Annotated[str, AfterValidator(lambda text: plain(text, _LONGEST))]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Token = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{43}$")]
_HOST_KEY = r"^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{40,1400}={0,3}( [0-9A-Za-z_.@-]{0,100})?$"
HostKey = Annotated[str, StringConstraints(pattern=_HOST_KEY)]
Number = Annotated[float, Field(ge=0, lt=2**63, allow_inf_nan=False)]
_BYTES = 8192  # of what a TPM made: a certificate is the longest


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * _BYTES:
        raise ValueError("no base64 text, or too long")
    return base64.b64decode(text, validate=True)


def _key(read: Callable[[bytes], Public]) -> PlainValidator:
    return PlainValidator(lambda text: read(_bytes(text)))


Blob = Annotated[bytes, BeforeValidator(_bytes), Field(max_length=_BYTES)]
EndorsementKey = Annotated[Public, _key(endorsement_key)]
SigningKey = Annotated[Public, _key(SIGNER.read)]


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `address`: as nginx reports it; `token`: the bearer token, empty when it sent none."""

    address: str
    token: str = ""


class _RequestModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class BootQuestion(_RequestModel):
    """The query of iPXE. Unauthenticated: any value is accepted, and none is trusted."""

    mac: Annotated[Line, AfterValidator(lambda text: text.lower().replace("-", ":"))] = ""
    uuid: Line | None = None
    serial: Line | None = None
    platform: Line = ""


class FileQuestion(_RequestModel):
    """A file of the installer, from the path that nginx was asked for."""

    grant: str
    name: str

    @classmethod
    def read(cls, uri: str) -> FileQuestion | None:
        """None when the path names no such file."""
        found = _INSTALL.fullmatch(uri)
        return cls.model_validate(found.groupdict()) if found else None


class Presented(_RequestModel):
    """What a machine's TPM shows: its endorsement key, that key's certificate (b"" without one), and a signing key."""

    ek: EndorsementKey
    ak: SigningKey
    certificate: Blob = b""


class Troubled(_RequestModel):
    """Why a machine cannot present a TPM."""

    problem: Line = Field(min_length=1)


Challenge = TypeAdapter(Presented | Troubled)


class Evidence(_RequestModel):
    """How a machine was booted: `quoted` is what its TPM signed with `key` of the registers `pcrs` (number -> hex)."""

    key: SigningKey
    quoted: Blob
    signature: Blob
    pcrs: dict[Annotated[int, Field(ge=0, le=PCRS[-1])], Digest]


class Claim(Inspection):
    """The claim of a grant: the facts of the machine, and the token by which its ramdisk authenticates from then on."""

    token: Token
    evidence: Evidence | None = None

    def facts(self) -> dict[str, Any]:
        """The facts of the machine, without token (only its hash is stored) and evidence (it is checked)."""
        return self.model_dump(mode="json", exclude={"token", "evidence"})


class ProgressReport(_RequestModel):
    """How far a write is, as the agent's `Progress` reports it. Bytes and seconds."""

    stage: Line = "image"
    bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    total: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    mb_per_s: Number | None = None
    seconds_left: Number | None = None


# The kinds of events that an install ramdisk may write. Any other kind is recorded as a message.
AgentKind = Literal["image.started", "image.progress", "image.written", "agent.configured", "agent.said"]
_KINDS = frozenset(get_args(AgentKind))


class Told(_RequestModel):
    """One event of a ramdisk."""

    kind: Annotated[AgentKind, BeforeValidator(lambda kind: kind if str(kind) in _KINDS else "agent.said")] = (
        "agent.said"
    )
    text: Text = ""
    level: Literal["debug", "info", "warning", "error"] = "info"
    data: ProgressReport | None = None


Events = TypeAdapter(Annotated[list[Any], Field(max_length=MOST_EVENTS)])


class Done(_RequestModel):
    """The proof of an install. `readback_sha256`: of the disk's bytes as they were read back; `seconds` by stage."""

    image_sha256: Digest
    readback_sha256: Digest
    disk_serial: Line | None = None
    host_keys: tuple[HostKey, ...] = Field(min_length=1, max_length=8)
    bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    seconds: dict[Line, Number] = Field({}, max_length=16)
    boot_order: tuple[Line, ...] = Field((), max_length=64)


class FailureReport(_RequestModel):
    """Why the ramdisk gave up. `code`: the kind of failure, for which bmk has a hint; the texts are untrusted."""

    code: Line = ""
    what: Text = ""
    why: Text = ""
    hint: Text = ""
    retry: bool = Field(False, strict=True)
