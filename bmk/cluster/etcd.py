"""etcd's members, as etcdctl on a control plane lists them and takes one out. Pure: commands, and models of their
answers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from bmk.errors import BmkError

_PKI = "/etc/kubernetes/pki/etcd"
_ETCDCTL = (
    *("/usr/local/bin/etcdctl", "--endpoints", "https://127.0.0.1:2379", "--cacert", f"{_PKI}/ca.crt"),
    *("--cert", f"{_PKI}/server.crt", "--key", f"{_PKI}/server.key", "--command-timeout", "15s"),
)


class EtcdMember(BaseModel):
    """`id` as etcdctl wants it back: hexadecimal. One that was added and never started has no name."""

    number: int = Field(alias="ID", ge=0, lt=2**64)
    name: str = Field("", max_length=253)
    peers: tuple[str, ...] = Field((), alias="peerURLs", max_length=16)

    @property
    def id(self) -> str:
        return f"{self.number:x}"

    def is_at(self, address: str) -> bool:
        return any(urlsplit(peer).hostname == address for peer in self.peers)


class _Members(BaseModel):
    members: tuple[EtcdMember, ...] = Field((), max_length=64)


class _Health(BaseModel):
    endpoint: str = Field(max_length=300)
    health: bool


_HEALTH = TypeAdapter(tuple[_Health, ...])


def health_command() -> list[str]:
    """Asks every member; ends with an error when one of them is not well, and says all the same."""
    return [*_ETCDCTL, "endpoint", "health", "--cluster", "--write-out", "json"]


def members_command() -> list[str]:
    return [*_ETCDCTL, "member", "list", "--write-out", "json"]


def remove_command(member: EtcdMember) -> list[str]:
    return [*_ETCDCTL, "member", "remove", member.id]


def healthy(text: str, names: Mapping[str, str]) -> dict[str, bool]:
    """Members by host (`names`: address to host; others by their address), and whether each takes part."""
    try:
        found = _HEALTH.validate_json(text)
    except ValidationError as error:
        raise _odd(error) from error
    hosts = {one.endpoint: urlsplit(one.endpoint).hostname or one.endpoint for one in found}
    return {names.get(hosts[one.endpoint], hosts[one.endpoint]): one.health for one in found}


def members(text: str) -> tuple[EtcdMember, ...]:
    """What `members_command` printed."""
    try:
        return _Members.model_validate_json(text).members
    except ValidationError as error:
        raise _odd(error) from error


def _odd(error: ValidationError) -> BmkError:
    return BmkError("etcdctl's answer cannot be understood", why=str(error.errors()[0]["msg"])[:200])
