"""etcd's snapshots: models of what etcdctl and etcdutl say of them, and the hash at their end."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from bmk.backup.manifest import EtcdState
from bmk.backup.refusal import refused

_HASH = 32  # bytes; etcd appends the sha256 of a snapshot that is taken through a member
_PAGE = 512  # bytes; the size of the database itself is a multiple of it
_CHUNK = 1 << 20
_Number = Annotated[int, Field(ge=-1, lt=2**64)]


class _Header(BaseModel):
    cluster_id: _Number
    member_id: _Number


class _Status(BaseModel):
    header: _Header
    version: str


class _StatusLine(BaseModel):
    status: _Status = Field(alias="Status")


class _Hash(BaseModel):
    hash: _Number
    compacted: _Number = Field(alias="compact_revision")


class _HashLine(BaseModel):
    found: _Hash = Field(alias="HashKV")


class _Snapshot(BaseModel):
    revision: _Number


class _About(BaseModel):
    """What `on_node.py` says: answers of the programs, as they are."""

    status: Annotated[str, Field(max_length=1 << 16)]
    snapshot: Annotated[str, Field(max_length=1 << 16)]
    hash: Annotated[str, Field(max_length=1 << 16)]
    count: Annotated[str, Field(max_length=1 << 16)]


_COUNT = re.compile(r'^"Count" : ([0-9]{1,18})$', re.MULTILINE)
_STATUSES = TypeAdapter(Annotated[tuple[_StatusLine, ...], Field(min_length=1, max_length=64)])
_HASHES = TypeAdapter(Annotated[tuple[_HashLine, ...], Field(min_length=1, max_length=64)])


def state(about: bytes) -> EtcdState:
    """What the member said of itself and of the revision of its snapshot. Raises BackupRefused."""
    try:
        said = _About.model_validate_json(about)
        status = _STATUSES.validate_json(said.status)[0].status
        return EtcdState(
            cluster_id=f"{status.header.cluster_id:x}",
            member_id=f"{status.header.member_id:x}",
            version=status.version,
            revision=revision(said.snapshot),
            keys=count(said.count),
            **hash_of(said.hash),
        )
    except ValidationError as error:
        raise refused("strange", f"what etcd says of itself: {error.errors()[0]['msg']}"[:200]) from error


def revision(text: str) -> int:
    """From `etcdutl snapshot status --write-out json`."""
    return _Snapshot.model_validate_json(text).revision


def count(text: str) -> int:
    """From `etcdctl get "" --prefix --count-only --write-out fields`, which has no other form for it."""
    found = _COUNT.search(text)
    if found is None:
        raise refused("strange", "etcdctl counts no keys")
    return int(found[1])


def hash_of(text: str) -> dict[str, int]:
    """{hash, compacted} from `etcdctl endpoint hashkv --write-out json`."""
    return _HASHES.validate_json(text)[0].found.model_dump()


def check_hash(path: Path) -> None:
    """Raises BackupRefused when the snapshot has no hash at its end, or another one than its bytes have.

    A file that was copied from a data directory has none, and nothing else would tell that it is whole.
    """
    size = path.stat().st_size
    if size <= _HASH or size % _PAGE != _HASH:
        raise refused("hashless", f"{size} bytes are not whole pages of {_PAGE} and a hash of {_HASH}")
    digest, left = hashlib.sha256(), size - _HASH
    with path.open("rb") as file:
        while left:
            block = file.read(min(left, _CHUNK))
            digest.update(block)
            left -= len(block)
        if digest.digest() != file.read(_HASH):
            raise refused("snapshot-damaged", "the sha256 at its end is not that of its bytes")
