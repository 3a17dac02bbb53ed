"""Running ipmitool against one BMC. The password goes in by a file descriptor, never in argv or on a disk."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bmk import permit, programs
from bmk.bmc.access import Access
from bmk.bmc.retry import Busy, login_error, persist, raise_if_refused
from bmk.errors import BmcError, BmcIgnores, ConfigError

SUITES = ("17", "3")  # SHA-256, then SHA-1 for older BMCs; never asked of the BMC, which takes 10 s when it cannot say
LONGEST_PASSWORD = 20  # bytes; longer ones are cut off in silence by ipmitool and by BMCs
LONGEST_ANSWER = 4 << 20  # bytes; no event log of IPMI has as many
NO_SUITE = ("invalid authentication algorithm", "invalid integrity algorithm", "no matching cipher suite")
NO_SESSION = "Unable to establish"
NO_PARAMETER = ("rsp=0x80", "rsp=0xc1", "rsp=0xc9", "rsp=0xcc")  # completion codes of a BMC that has no such parameter
NO_LOGIN = ("unauthorized name", "RAKP 2 HMAC is invalid", "RAKP 2 message indicates an error")

# What it says when the user may not be administrator. Some BMCs look for name and role as one: "unauthorized name".
NO_ROLE = ("Set Session Privilege Level to", "unauthorized role", "invalid role", "unauthorized name")
OPERATOR = ("-L", "OPERATOR")  # enough for power, boot order, event log and console

# What it prints is in one language and one time zone, wherever it runs.
PLAIN = {"LC_ALL": "C", "LANGUAGE": "C", "TZ": "UTC"}


class Ipmitool:
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
        self._role: tuple[str, ...] = ()  # ipmitool asks to be administrator
        self._let_in = False

    def _ask(
        self, what: str, *command: str, may_fail: bool = False, script: str = "", seconds: float | None = None
    ) -> str:
        """What ipmitool prints. `script`: its standard input, for `exec`; it may hold secrets. `seconds`: how long the
        command may take, where it is more than one exchange.
        """
        limit = seconds or self._access.timing.request
        return persist(self._access, what, lambda: self._run(what, command, may_fail, script, limit))

    def _run(self, what: str, command: tuple[str, ...], may_fail: bool, script: str, seconds: float) -> str:
        """One command. Raises Busy or BmcError; a BMC that was never let us in is asked first whether it does."""
        if not self._let_in:
            self._login()
        code, out, err = self._answer(command, seconds, script)
        if code and NO_SESSION in err:
            self._let_in = False
        if code and not (may_fail and NO_SESSION not in err):
            raise self._failure(what, err)
        return out

    def _login(self) -> None:
        """Log in once, verbosely: only so does ipmitool tell a wrong password from silence."""
        raise_if_refused(self._access)
        code, _, err = self._answer(("-v", "chassis", "power", "status"), self._access.timing.request)
        if code and any(word in err for word in NO_SUITE) and self._suite + 1 < len(SUITES):
            self._suite += 1
            self._login()
        elif code and not self._role and any(word in err for word in NO_ROLE):
            self._role = OPERATOR
            self._login()
        elif code and any(word in err for word in (*NO_LOGIN, *NO_ROLE)):
            raise login_error(self._access, err[-300:])
        elif code and NO_SESSION in err:
            raise Busy("no answer")
        self._let_in = True
        self._access.logins.took(self._access.address, self._access.credentials)

    def _answer(self, command: tuple[str, ...], seconds: float, script: str = "") -> tuple[int, str, str]:
        """Exit code, stdout and stderr, within this time and the size of an honest answer.

        Asks the permit for reads, too: a cancelled call ends at its next command, and its thread is free.
        """
        permit.demand()
        with self._ipmitool(*command) as process:
            said = _communicate(process, seconds, script)
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
        programs.require(["ipmitool"])
        access = self._access
        secret = os.memfd_create("password")
        try:
            os.write(secret, access.credentials.password.reveal().encode())
            argv = ["ipmitool", "-I", "lanplus", "-C", SUITES[self._suite], "-H", access.address]
            argv += ["-p", str(access.port or 623), "-U", access.credentials.username, "-f", f"/proc/self/fd/{secret}"]
            argv += ["-N", "2", "-R", "3", *self._role, *command]
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                argv, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[secret], env={**os.environ, **PLAIN}
            )
        finally:
            os.close(secret)
        with process:
            try:
                yield process
            finally:
                process.kill()

    def _error(self, what: str, why: str = "", hint: str = "") -> BmcError:
        return BmcError(what, where=self._access.address, why=why, hint=hint)


def _communicate(process: subprocess.Popen[bytes], seconds: float, script: str) -> tuple[bytes, bytes]:
    """What a process says until it ends, or until it is more than LONGEST_ANSWER. Raises Busy when it takes longer.

    `script` is what it is told, less than a pipe holds.
    """
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - for mypy
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
