"""The record `inspection`: what an install ramdisk saw of its machine. One model for who writes it and who reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bmk.journal.quoted import plain

Line = Annotated[str, AfterValidator(lambda text: plain(text, 200))]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class InspectedDisk(_Said):
    """A disk as the kernel names it. `size` in bytes; `holds` in words, empty for a blank one."""

    name: Line
    size: int = Field(0, ge=0, lt=2**63, strict=True)
    serial: Line | None = None
    wwn: Line | None = None
    model: Line | None = None
    rotational: bool | None = Field(None, strict=True)
    holds: Line = ""
    foreign: bool = Field(False, strict=True)


class Inspection(_Said):
    """Who the machine says it is, and its disks. `macs` are those of the hardware."""

    uuid: Line | None = None
    serial: Line | None = None
    macs: tuple[Line, ...] = Field((), max_length=64)
    firmware: Literal["uefi", "bios"] | None = None
    disks: tuple[InspectedDisk, ...] = Field((), max_length=256)


def read_inspection(record: Any) -> Inspection | None:
    """The record of a host; None when it cannot be read: journals of earlier versions hold what machines sent."""
    try:
        return Inspection.model_validate(record)
    except ValidationError:
        return None
