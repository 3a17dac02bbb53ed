"""etcd's members, listed and removed by etcdctl on a control plane. Pure: commands, and models of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from bmk.errors import BmkError

_PKI = "/etc/kubernetes/pki/etcd"
_ETCDCTL = (
    *("/usr/local/bin/etcdctl", "--endpoints", "https://127.0.0.1:2379", "--cacert", f"{_PKI}/ca.crt"),
    *("--cert", f"{_PKI}/server.crt", "--key", f"{_PKI}/server.key", "--command-timeout", "15s"),
)
_MOST = 64  # members of one cluster; etcd advises 7


def _host(url: str) -> str:
    host = urlsplit(url).hostname  # ValueError for a malformed one
    if host is None:
        raise ValueError("an URL without a host")
    return host


_HostOfUrl = Annotated[str, Field(max_length=300), AfterValidator(_host)]  # given as URL, kept as its host


class EtcdMember(BaseModel):
    """A member. One that was added and never started has no name. `addresses`: hosts of its peer URLs."""

    number: int = Field(alias="ID", ge=0, lt=2**64)
    name: str = Field("", max_length=253)
    addresses: tuple[_HostOfUrl, ...] = Field((), alias="peerURLs", max_length=16)

    @property
    def id(self) -> str:
        """The number in hexadecimal, as etcdctl takes it."""
        return f"{self.number:x}"


class _Members(BaseModel):
    members: tuple[EtcdMember, ...] = Field((), max_length=_MOST)


class _Health(BaseModel):
    address: _HostOfUrl = Field(alias="endpoint")
    health: bool


_HEALTH = TypeAdapter(Annotated[tuple[_Health, ...], Field(max_length=_MOST)])


def etcdctl() -> list[str]:
    """etcdctl on a control plane, with its own member and its keys; a command follows."""
    return [*_ETCDCTL]


def health_command() -> list[str]:
    """Asks every member. The list is printed even when a member is unhealthy and the exit code is not 0."""
    return [*_ETCDCTL, "endpoint", "health", "--cluster", "--write-out", "json"]


def members_command() -> list[str]:
    return [*_ETCDCTL, "member", "list", "--write-out", "json"]


def remove_command(member: EtcdMember) -> list[str]:
    return [*_ETCDCTL, "member", "remove", member.id]


def healthy(text: str, names: Mapping[str, str]) -> dict[str, bool]:
    """Whether each member is healthy, by host name (`names`: address to name; without a name, by address)."""
    try:
        found = _HEALTH.validate_json(text)
    except ValidationError as error:
        raise _odd(error) from error
    return {names.get(one.address, one.address): one.health for one in found}


def members(text: str) -> tuple[EtcdMember, ...]:
    """Parse the output of `members_command`."""
    try:
        return _Members.model_validate_json(text).members
    except ValidationError as error:
        raise _odd(error) from error


def _odd(error: ValidationError) -> BmkError:
    return BmkError("etcdctl's answer cannot be understood", why=str(error.errors()[0]["msg"])[:200])
