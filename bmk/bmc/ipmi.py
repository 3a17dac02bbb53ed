"""BMCs that speak IPMI 2.0, through ipmitool. The password goes in by a file descriptor, never in argv or on a disk."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bmk.bmc import mailbox
from bmk.bmc.access import Access
from bmk.bmc.ipmi_text import BootFlags, decode_guid, parse_boot_flags, parse_bytes, parse_fields, parse_log_line
from bmk.bmc.patience import Busy, persist, refuse_again, settle, turned_away, wary
from bmk.bmc.protocol import BootTarget, Firmware, Identity, Inventory, LogEntry, Power, PowerAction
from bmk.bmc.quirks import Quirk, quirk_of
from bmk.errors import BmcError, BmcIgnores, ConfigError

SUITES = ("17", "3")  # SHA-256, then SHA-1 for older BMCs; never asked of the BMC, which takes 10 s when it cannot say
DEVICES: dict[BootTarget, str] = {"pxe": "pxe", "disk": "disk"}
SELECTORS: dict[BootTarget, int] = {"pxe": 0x1, "disk": 0x2}
LONGEST_PASSWORD = 20  # bytes; longer ones are cut off in silence by ipmitool and by BMCs
LONGEST_ANSWER = 4 << 20  # bytes; no event log of IPMI has as many
NO_SUITE = ("invalid authentication algorithm", "invalid integrity algorithm", "no matching cipher suite")
NO_SESSION = "Unable to establish"
NO_PARAMETER = ("rsp=0x80", "rsp=0xc1", "rsp=0xc9", "rsp=0xcc")  # completion codes of a BMC that has no such parameter
_SCRIPT = ("exec", "/dev/stdin")  # commands, one a line, that are nobody's business
NO_LOGIN = ("unauthorized name", "RAKP 2 HMAC is invalid", "RAKP 2 message indicates an error")


@wary
class IpmiBmc:
    """One BMC on UDP port 623. Nothing is asked of it before the first call."""

    def __init__(self, access: Access) -> None:
        if len(access.credentials.password.reveal().encode()) > LONGEST_PASSWORD:
            raise ConfigError(
                f"IPMI passwords have at most {LONGEST_PASSWORD} bytes",
                where=access.address,
                hint="shorten the BMC's password and its secret, or use `kind: redfish`",
            )
        self._access = access
        self._suite = 0
        self._let_in = False
        self._known: Quirk | None = None

    def identity(self) -> Identity:
        fru, mc = self._fru(), parse_fields(self._ask("describe itself", "mc", "info"))
        return Identity(
            uuid=decode_guid(parse_bytes(self._ask("say its GUID", "raw", "0x06", "0x37"))),
            serial=fru.get("Product Serial") or fru.get("Chassis Serial"),
            manufacturer=fru.get("Product Manufacturer") or mc.get("Manufacturer Name"),
            model=fru.get("Product Name") or mc.get("Product Name"),
            bmc_version=mc.get("Firmware Revision"),
        )

    def inventory(self) -> Inventory:
        """Empty: IPMI has no standard way to list processors, memory or drives."""
        return Inventory()

    def power(self) -> Power:
        answer = self._ask("report its power state", "chassis", "power", "status")
        found = re.search(r"Chassis Power is (on|off)", answer)
        if not found:
            raise self._error("the BMC reports no usable power state", why=answer, hint="restart the BMC")
        return "on" if found[1] == "on" else "off"

    def set_power(self, action: PowerAction) -> None:
        if action == "cycle":
            self.set_power("off")
            action = "on"
        if self.power() == action:
            self._access.tell("bmc.power", f"power is {action} already", power=action)
            return
        self._ask(f"switch power {action}", "chassis", "power", action)
        came_true, seen = settle(self._access, self.power, lambda power: power == action)
        if not came_true:
            raise self._lie(
                f"the BMC accepted power {action} and still reports {seen}",
                why=f"read back for {self._access.timing.settle:.0f} s; some BMCs report a stale power state",
                hint="look at the console; restart the BMC (`ipmitool mc reset cold`), then run the same command again",
            )
        self._access.tell("bmc.power", f"power {action}, read back", power=action)

    def set_boot_once(self, target: BootTarget, firmware: Firmware) -> None:
        if target not in DEVICES:
            raise ConfigError(
                f"IPMI cannot ask for {target} boot",
                where=self._access.address,
                hint="set `boot: pxe` in the profile, or `kind: redfish` when the BMC speaks it",
            )
        self._keep_flags()
        option = ["options=efiboot"] if firmware == "uefi" else []
        self._ask("set the next boot", "chassis", "bootdev", DEVICES[target], *option)
        seen = self._boot_flags()
        if not seen.once_from(SELECTORS[target], firmware == "uefi", self._quirk):
            raise self._lie(
                f"the BMC accepted the boot override and ignores it: wanted {target} once ({firmware}), reads {seen}",
                why="the next boot would not be from the network, so the machine was not powered on",
                hint="update the BMC's firmware, or set the boot order by hand and check `firmware` in the profile",
            )
        self._access.tell("bmc.boot", f"next boot: {seen}, read back", target=target, firmware=firmware)

    def clear_boot_once(self) -> None:
        if not self._boot_flags().active(self._quirk):
            return
        self._ask("clear the boot override", "chassis", "bootdev", "none")
        seen = self._boot_flags()
        if seen.active(self._quirk):
            raise self._lie(
                f"the BMC keeps the boot override: {seen}",
                why="the machine would boot from the network again",
                hint="clear the override by hand (BMC web page, boot order), then run the same command again",
            )
        self._access.tell("bmc.boot", "boot override cleared, read back")

    def boot_override(self) -> str:
        seen = self._boot_flags()
        elsewhere = seen.active(self._quirk) and seen.selector != SELECTORS["disk"]
        return str(seen) if elsewhere else ""

    def write_mailbox(self, data: bytes) -> None:
        wanted = mailbox.image(parse_bytes(self._ask("describe itself", "raw", "0x06", "0x01")), data)
        both = mailbox.writing(wanted) + mailbox.reading()  # in one session
        answer = self._ask("keep what is left in its boot initiator mailbox", *_SCRIPT, script=both)
        if mailbox.blocks_of(parse_bytes(answer)) != wanted:
            raise self._lie(
                "the BMC accepted what was left in its boot initiator mailbox and shows something else",
                why="the machine could not prove that it is the one behind this BMC, so it was not powered on",
                hint="update the BMC's firmware, or set `attest: {way: console}` in the profile",
            )
        self._access.tell("bmc.mailbox", f"mailbox {'written' if data else 'cleared'}, read back")

    def insert_media(self, data: bytes) -> None:  # noqa: ARG002 - a protocol's
        raise self._error("IPMI has no virtual media", hint="set `attest: {way: mailbox}` in the profile")

    def eject_media(self) -> None:
        raise self._error("IPMI has no virtual media", hint="set `attest: {way: mailbox}` in the profile")

    def event_log(self) -> list[LogEntry]:
        # not `elist`: for the names of sensors it reads, and where it likes writes, the repository of the BMC
        lines = self._ask("read its event log", "sel", "list").splitlines()
        return [entry for line in lines if (entry := parse_log_line(line))]

    def console(self, path: Path, stop: Callable[[], bool]) -> None:
        self._ask("close an older console", "sol", "deactivate", may_fail=True)
        with path.open("ab") as log, self._ipmitool("sol", "activate") as process:
            while not stop():
                if process.poll() is not None:
                    raise self._error("the BMC closed its console", hint="another user may have opened it; try again")
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                if select.select([process.stdout], [], [], self._access.timing.poll)[0]:
                    log.write(os.read(process.stdout.fileno(), 65536))
                    log.flush()

    def hang_up(self) -> None:
        """Each command of ipmitool is a session of its own, and over."""

    # -- one request each; raise Busy or BmcError -------------------------------------------------------------------

    def _keep_flags(self) -> None:
        """Tell the BMC not to drop the override after 60 s, the standard's default. Some cannot; then 60 s it is."""
        self._ask("keep the boot flags", "raw", "0x00", "0x08", "0x03", "0x08", may_fail=True)

    def _boot_flags(self) -> BootFlags:
        answer = self._ask("report the boot override", "chassis", "bootparam", "get", "5")
        flags = parse_boot_flags(answer)
        if flags is None:
            raise self._error("the BMC reports no boot flags", why=answer.strip(), hint="update the BMC's firmware")
        return flags

    @property
    def _quirk(self) -> Quirk:
        if self._known is None:
            fru = self._fru()
            self._known = quirk_of(fru.get("Product Manufacturer"), fru.get("Product Name"))
        return self._known

    def _fru(self) -> Mapping[str, str]:
        return parse_fields(self._ask("show its FRU data", "fru", "print", "0", may_fail=True))

    # -- running ipmitool -------------------------------------------------------------------------------------------

    def _ask(self, what: str, *command: str, may_fail: bool = False, script: str = "") -> str:
        """What ipmitool prints. `script`: its standard input, for _SCRIPT; it may hold secrets."""
        return persist(self._access, what, lambda: self._run(what, command, may_fail, script))

    def _run(self, what: str, command: tuple[str, ...], may_fail: bool, script: str = "") -> str:
        """One command. Raises Busy or BmcError; a BMC that was never let us in is asked first whether it does."""
        if not self._let_in:
            self._knock()
        code, out, err = self._answer(command, script)
        if code and NO_SESSION in err:
            self._let_in = False
        if code and not (may_fail and NO_SESSION not in err):
            raise self._failure(what, err)
        return out

    def _knock(self) -> None:
        """Log in once, verbosely: only so does ipmitool tell a wrong password from silence."""
        refuse_again(self._access)
        code, _, err = self._answer(("-v", "chassis", "power", "status"))
        if code and any(word in err for word in NO_SUITE) and self._suite + 1 < len(SUITES):
            self._suite += 1
            self._knock()
        elif code and any(word in err for word in NO_LOGIN):
            raise turned_away(self._access, err[-300:])
        elif code and NO_SESSION in err:
            raise Busy("no answer")
        self._let_in = True
        self._access.logins.took(self._access.address, self._access.credentials)

    def _answer(self, command: tuple[str, ...], script: str = "") -> tuple[int, str, str]:
        """Exit code, stdout and stderr, within the time and size of one exchange."""
        with self._ipmitool(*command) as process:
            said = _hear(process, self._access.timing.request, script)
            if sum(map(len, said)) > LONGEST_ANSWER:
                raise self._error("the BMC's answer is longer than any honest one", hint="restart the BMC")
            code = process.wait()
        out, err = (text.decode(errors="replace") for text in said)
        return code, out, " ".join(err.split())

    def _failure(self, what: str, text: str) -> Exception:
        if NO_SESSION in text or "Unspecified error" in text or "Node busy" in text or "Timeout" in text:
            return Busy(text)
        if "boot initiator mailbox" in what and any(code in text for code in NO_PARAMETER):
            return BmcIgnores(
                "this BMC has no boot initiator mailbox",
                where=self._access.address,
                why=text,
                hint="set `attest: {way: console}` in the profile",
            )
        return self._error(f"the BMC did not {what}", why=text, hint="check the BMC's firmware version and licence")

    @contextmanager
    def _ipmitool(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        access = self._access
        secret = os.memfd_create("password")
        try:
            os.write(secret, access.credentials.password.reveal().encode())
            argv = ["ipmitool", "-I", "lanplus", "-C", SUITES[self._suite], "-H", access.address]
            argv += ["-p", str(access.port or 623), "-U", access.credentials.username, "-f", f"/proc/self/fd/{secret}"]
            argv += ["-N", "2", "-R", "3", *command]
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[secret]
            )
        except FileNotFoundError:
            raise self._error("ipmitool is not installed", hint="apt install ipmitool") from None
        finally:
            os.close(secret)
        with process:
            try:
                yield process
            finally:
                process.kill()

    def _error(self, what: str, why: str = "", hint: str = "") -> BmcError:
        return BmcError(what, where=self._access.address, why=why, hint=hint)

    def _lie(self, what: str, why: str, hint: str) -> BmcError:
        self._access.tell("bmc.lie", what, "error")
        return self._error(what, why, hint)


def _hear(process: subprocess.Popen[bytes], seconds: float, script: str) -> tuple[bytes, bytes]:
    """What a process says until it ends, or until it is more than LONGEST_ANSWER. Raises Busy when it takes longer.

    `script` is what it is told, less than a pipe holds.
    """
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
    with suppress(BrokenPipeError):
        process.stdin.write(script.encode())
        process.stdin.close()
    end = time.monotonic() + seconds
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    open_ = list(said)
    while open_ and sum(map(len, said.values())) <= LONGEST_ANSWER:
        ready, _, _ = select.select(open_, [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise Busy("no answer")
        for pipe in ready:
            piece = os.read(pipe.fileno(), 65536)
            said[pipe] += piece
            if not piece:
                open_.remove(pipe)
    return bytes(said[process.stdout]), bytes(said[process.stderr])
