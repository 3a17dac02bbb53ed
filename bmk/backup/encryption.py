"""The key of secrets at rest, as a backup has it: a model of the file, and what the scratch API server gets of it.

The file comes from a control plane. An API server that was started with it as it is would open the socket of a KMS
that it names, on the deployer. So only keys that are in the file itself are taken, and written anew.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bmk.backup.manifest import ENCRYPTION
from bmk.backup.refusal import refused


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        size = 0
    if size not in (16, 24, 32):
        raise ValueError("no key of 16, 24 or 32 bytes")
    return text


class _Key(_Part):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,63}$")]
    secret: Annotated[str, Field(max_length=64), AfterValidator(_key)]


class _Keys(_Part):
    keys: Annotated[list[_Key], Field(min_length=1, max_length=32)]


class _Identity(_Part):
    """Not encrypted."""


class _Provider(_Part):
    """One of these, as Kubernetes has it; `kms` is none of them."""

    secretbox: _Keys | None = None
    aesgcm: _Keys | None = None
    aescbc: _Keys | None = None
    identity: _Identity | None = None


class _Resource(_Part):
    resources: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9*./-]{1,253}$")]], Field(min_length=1, max_length=64)
    ]
    providers: Annotated[list[_Provider], Field(min_length=1, max_length=16)]


class _Configuration(_Part):
    version: Literal["apiserver.config.k8s.io/v1"] = Field(alias="apiVersion")
    kind: Literal["EncryptionConfiguration"]
    resources: Annotated[list[_Resource], Field(min_length=1, max_length=16)]


def inline_keys(root: Path) -> str:
    """The EncryptionConfiguration below `root`, which holds files of a control plane, with what is known of it only.

    JSON, as bmk writes it. Raises BackupRefused for anything that is no key in the file itself.
    """
    try:
        found = _Configuration.model_validate_json((root / ENCRYPTION.lstrip("/")).read_bytes())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise refused("encryption", f"{ENCRYPTION}: {where}: {first['msg']}"[:200]) from None
    return found.model_dump_json(by_alias=True, exclude_none=True)
