"""A nonce on a small volume in a Redfish BMC's virtual optical drive. Takes sushy's objects, imports none of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from bmk.bmc.access import Access
from bmk.bmc.media_server import NAME, MediaServers
from bmk.bmc.nonce_volume import volume
from bmk.bmc.redfish_documents import listed
from bmk.bmc.redfish_text import Json, at, text_at
from bmk.bmc.retry import bmc_errors_only, read_back_error, settle
from bmk.errors import BmcError, BmcIgnores

T = TypeVar("T")

SERVERS = MediaServers()  # of this process: what it offers outlives one conversation with a BMC
OPTICAL = {"CD", "DVD"}
SETTLE = 10.0  # seconds until a BMC shows what it was told; those that do it at all take a few


@bmc_errors_only
class VirtualMedia(ABC):
    """The part of RedfishBmc that leaves something for the machine to read."""

    _access: Access
    _slots: list[Any] | None = None

    @abstractmethod
    def _call(self, what: str, operation: Callable[[], T]) -> T:
        """Run one request, with patience and with sushy's errors as ours."""

    @abstractmethod
    def _enter(self) -> None:
        """Be logged in."""

    @abstractmethod
    def _fresh(self) -> Json:
        """The one system, read again."""

    @abstractmethod
    def _near(self, system: Json, relation: str) -> list[Json]:
        """Documents that a system links to."""

    @abstractmethod
    def _there(self, link: str | None) -> Json:
        """A document; an empty one where there is none. One that cannot be read now is waited for."""

    @abstractmethod
    def _drive(self, link: str) -> Any:
        """A virtual drive, as sushy has it."""

    def write_mailbox(self, data: bytes) -> None:  # noqa: ARG002 - the protocol's
        raise self._cannot(
            "Redfish has no mailbox for the machine's own system", hint="set `attest: {way: media}` in the profile"
        )

    def insert_media(self, data: bytes) -> None:
        drive = self._empty(self._without_ours()[0])
        url = SERVERS.offer(self._access.address, volume(data))
        self._call("insert virtual media", lambda: drive.insert_media(url))
        if not self._becomes(drive, lambda: is_ours(drive) and drive.image in (url, None, "")):
            SERVERS.withdraw(self._access.address)
            server = url.split("/")[2]
            raise read_back_error(
                self._access,
                "the BMC accepted virtual media and shows none",
                kind=BmcIgnores,
                why="the machine could not prove that it is the one behind this BMC, so it was not powered on",
                hint=f"check that the BMC reaches {server} by HTTP, or set `attest: {{way: console}}` in the profile",
            )
        self._access.tell("bmc.media", "virtual media inserted, read back")

    def eject_media(self) -> None:
        if self._without_ours()[1]:
            self._access.tell("bmc.media", "virtual media ejected, read back")

    def _without_ours(self) -> tuple[list[Any], bool]:
        """The virtual drives when nothing of ours is in them any more, and whether there was."""
        SERVERS.withdraw(self._access.address)
        drives = self._call("show its virtual media", self._drives)
        ours = [drive for drive in drives if is_ours(drive)]
        for drive in ours:
            self._call("eject virtual media", drive.eject_media)
            if not self._becomes(drive, lambda: not is_ours(drive)):  # noqa: B023 - called at once
                raise read_back_error(
                    self._access,
                    "the BMC keeps the virtual media that it said it ejected",
                    kind=BmcIgnores,
                    why="an old nonce would stay in the machine",
                    hint="eject it by hand (BMC web page, virtual media), then run the same command again",
                )
        return drives, bool(ours)

    def _becomes(self, drive: Any, wanted: Callable[[], bool]) -> bool:
        """Whether it comes true while the drive is read again and again."""
        timing = replace(self._access.timing, settle=min(SETTLE, self._access.timing.settle))

        def read() -> bool:
            self._call("show its virtual media", lambda: drive.refresh(force=True))
            return wanted()

        return settle(replace(self._access, timing=timing), read, bool)[0]

    def _empty(self, drives: list[Any]) -> Any:
        """The first optical drive with nothing in it."""
        empty = [drive for drive in drives if not drive.inserted]
        if empty:
            return empty[0]
        if drives:
            raise self._cannot(
                "somebody else's medium is in the BMC's virtual drive",
                hint="take it out (BMC web page, virtual media), then run the same command again",
            )
        raise self._cannot(
            "this BMC has no virtual optical drive",
            why="it lists none; some have it by licence only",
            hint="set `attest: {way: console}` in the profile",
        )

    def _drives(self) -> list[Any]:
        """The optical ones, read again. What a BMC has is looked for once: each is asked for by itself afterwards."""
        if not self._slots:
            self._slots = [self._drive(link) for link in self._optical()]
            return self._slots
        self._enter()
        for drive in self._slots:
            drive.refresh(force=True)
        return self._slots

    def _optical(self) -> list[str]:
        """Newer BMCs have drives below the system, older ones below the manager."""
        system = self._fresh()
        owners = [text_at(owner, "VirtualMedia", "@odata.id") for owner in (system, *self._near(system, "ManagedBy"))]
        links = next((found for owner in owners if (found := listed(self._there, owner))), [])
        return [link for link in links if OPTICAL & kinds_of(self._there(link))]

    def _cannot(self, what: str, why: str = "", hint: str = "") -> BmcError:
        return BmcIgnores(what, where=self._access.address, why=why, hint=hint)


def is_ours(drive: Any) -> bool:
    """Whether a medium of ours is in the drive, of this run or another. Some BMCs say only the medium's name."""
    return bool(drive.inserted) and any(NAME in str(said or "") for said in (drive.image, drive.image_name))


def kinds_of(drive: Json) -> set[str]:
    """The kinds of media that a virtual drive takes."""
    kinds = at(drive, "MediaTypes")
    return set(map(str, kinds)) if isinstance(kinds, list) else set()
