"""A machine whose disk is a directory: a system container's root, or the upper layer over a shared one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bmk.agent.configure import host_files, make_keys, write_files
from bmk.agent.hardware import Tell
from bmk.agent.model import BootOrder, Disk, ImageSource, InstallSpec, MachineFacts, Written
from bmk.agent.tpm.commands import Exchange, missing


class DirectoryHardware:
    """Implements `Hardware` for a directory `root`.

    `fill` brings the image's root there (unpacks it, or nothing where `root` lies over one that is unpacked already);
    `restarted` is called when the agent would reboot. Where nothing is streamed, the digests are the granted ones.
    """

    def __init__(
        self, root: Path, facts: MachineFacts, fill: Callable[[Path], None] = lambda _: None,
        restarted: Callable[[], None] = lambda: None, say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._root, self._facts, self._fill, self._restarted, self._say = root, facts, fill, restarted, say

    def facts(self) -> MachineFacts:
        return self._facts

    def nonces(self, expected: str) -> dict[str, bytes]:
        """A directory has no BMC."""
        return {}

    def tpm(self) -> AbstractContextManager[Exchange]:
        """A directory has no TPM either."""
        raise missing("its disk is a directory")

    def open_for_a_look(self, spec: InstallSpec) -> None:
        """The directory can be looked at from outside."""

    def write(self, disk: Disk, image: ImageSource, tell: Tell) -> Written:
        """An earlier attempt's files go first, as a disk would be overwritten."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(parents=True)
        self._fill(self._root)
        tell({"stage": "image", "bytes": image.size or 0, "total": image.size, "mb_per_s": 0.0, "seconds_left": 0})
        return Written(image.sha256, image.raw_sha256, image.size or 0)

    def configure(self, disk: Disk, spec: InstallSpec) -> list[str]:
        write_files(self._root, host_files(spec, match="MACAddress"))
        return make_keys(self._root, spec.hostname, ["ssh-keygen"], str(self._root))

    def boot_from(self, disk: Disk) -> BootOrder:
        return BootOrder()

    def restart(self, disk: Disk, how: str) -> None:
        self._restarted()

    def say(self, text: str) -> None:
        self._say(text)
