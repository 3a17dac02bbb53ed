"""What our modules may answer, one model for each. Root on a host chooses every byte of what its Python prints.

A result of Ansible is more than data: `add_host` puts a host into the inventory with any variable, a proxy command for
example, `ansible_facts` and `_ansible_*` steer the play, `results` and `exception` change what others make of it. So
only the fields that our modules document pass, with their types, and everything else is dropped. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LONGEST = 8 << 20  # bytes of one answer; our modules print less

Line = Annotated[str, Field(max_length=4096)]
Words = Annotated[str, Field(max_length=1 << 16)]  # what people read, and the journal keeps
Token = Annotated[str, Field(pattern=r"^[a-z0-9]{6}\.[a-z0-9]{16}$")]


class OddAnswer(ValueError):
    """An answer that no module of ours gives; the text says where it differs."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Item(_Part):
    """The result of one item of a list."""

    id: Line
    changed: bool


class Diff(_Part):
    """One difference, as Ansible shows it. `kubeadm` answers with an empty one when it did nothing."""

    before_header: Line = ""
    after_header: Line = ""
    before: str = ""
    after: str = ""


class ModuleAnswer(_Part):
    """What every module may answer, and all that a failed one answers."""

    changed: bool = False
    failed: bool = False
    msg: Words = ""


class Batch(ModuleAnswer):
    """A list of items."""

    items: tuple[Item, ...]
    diff: tuple[Diff, ...] = ()
    inputs: Line = ""


class Kubeadm(ModuleAnswer):
    """kubeadm's last lines and one difference; with `refresh` the items that were repaired."""

    items: tuple[Item, ...] = ()
    diff: tuple[Diff, ...] | Diff = ()
    stdout: Words = ""


class KubeadmState(_Part):
    """What kubeadm did on the host."""

    state: Literal["bare", "joined", "unfinished", "foreign"]
    action: Line = ""
    cluster: Line = ""
    at: int = 0
    found: tuple[Line, ...] = ()


class ModuleFacts(_Part):
    """What roles decide by; some of it is rendered into kubeadm's configuration of this host."""

    os: Line
    os_version: Line
    kernel: Line
    architecture: Line
    container: bool
    cgroup: Literal[1, 2]
    systemd: bool
    sys_resource: bool
    nofile_hard: int
    swap: bool
    memory_mb: int
    cpus: int
    user_namespaces: int
    nftables: bool
    nft_queue: bool
    interfaces: dict[Line, Line]
    kubeadm: KubeadmState
    encryption: bool


class Section(_Part):
    """Whether a recorded list still holds."""

    inputs: Line | None
    holds: bool
    differs: tuple[Line, ...]


class Probe(ModuleAnswer):
    """Facts of a host, and which recorded sections still hold."""

    facts: ModuleFacts
    notes: tuple[Line, ...] = ()
    sections: dict[Line, Section] = {}


class Outputs(_Part):
    """What a run keeps of a host."""

    manifest: Line
    notes: tuple[Line, ...]
    content: Line


class Manifest(ModuleAnswer):
    """The record of a converge was written."""

    bmk_outputs: Outputs


class Ticket(ModuleAnswer):
    """What a control plane minted for another host."""

    token: Token | None = None
    token_id: Annotated[str, Field(pattern=r"^[a-z0-9]{6}$")] | None = None
    ca_hash: Annotated[str, Field(pattern=r"^sha256:([0-9a-f]{64}|none)$")] | None = None
    certificate_key: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] | None = None
    encryption: Words | None = None
    problem: Words | None = None


MODELS: dict[str, type[ModuleAnswer]] = {
    "bmk_applied": Batch,
    "bmk_downloads": Batch,
    "bmk_files": Batch,
    "bmk_groups": Batch,
    "bmk_kernel_modules": Batch,
    "bmk_kubeadm": Kubeadm,
    "bmk_manifest": Manifest,
    "bmk_packages": Batch,
    "bmk_probe": Probe,
    "bmk_sysctls": Batch,
    "bmk_ticket": Ticket,
    "bmk_units": Batch,
    "bmk_users": Batch,
}


def heard(module: str, said: str) -> dict[str, Any]:
    """The result of a module from the line of JSON that its host printed. Raises Garbage."""
    if len(said) > LONGEST:
        raise OddAnswer(f"it is longer than {LONGEST >> 20} MiB")
    try:
        answer = ModuleAnswer.model_validate_json(said)
        if not answer.failed:
            answer = MODELS[module].model_validate_json(said)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise OddAnswer(f"{'.'.join(map(str, first['loc'][:2])) or 'all of it'}: {first['msg']}") from None
    return {"changed": False, **answer.model_dump(mode="json", exclude_unset=True)}
