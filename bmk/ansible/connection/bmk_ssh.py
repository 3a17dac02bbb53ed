"""Ansible's ssh with a bound on the output of a host: Ansible itself keeps whatever comes, and waits for ever.

A host that never stops printing, or prints one byte an hour, costs its own task only.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ssh

from bmk.ansible.answers import LONGEST

DOCUMENTATION = ssh.DOCUMENTATION.replace("name: ssh\n", "name: bmk_ssh\n", 1)

_LONGEST = LONGEST + (1 << 16)  # bytes of stdout and of stderr: an answer, and what a shell prints around it
_BLOCK = 1 << 16
_LAST = 0.2  # seconds for what is still in a pipe when ssh has ended; its master keeps stderr open


class Connection(ssh.Connection):  # type: ignore[misc]  # Ansible has no types
    """One ssh for one task. bmk logs in with its key only, so there is no password to be asked for."""

    def _bare_run(
        self, cmd: Sequence[bytes | str], in_data: bytes | None, sudoable: bool = True, checkrc: bool = True
    ) -> tuple[int, bytes, bytes]:
        code, out, err = _bounded(cmd, in_data or b"", self.host)
        if code == 255 and b"mux_client_hello_exchange: write packet: Broken pipe" in err:
            raise ssh.AnsibleControlPersistBrokenPipeError(err.decode(errors="replace"))
        if code == 255 and in_data and checkrc:
            raise AnsibleConnectionFailure(f"ssh to {self.host} failed: {err.decode(errors='replace')}")
        return code, out, err


def _bounded(cmd: Sequence[bytes | str], send: bytes, host: str) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of a command. Raises AnsibleConnectionFailure when it says too much."""
    pipe = subprocess.PIPE
    with subprocess.Popen(cmd, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            threading.Thread(target=_feed, args=(process.stdin, send), daemon=True).start()
            out, err = _read(process, host)
        except BaseException:  # the time of the task is over, for example
            process.kill()
            raise
        return process.wait(), out, err


def _feed(stdin: Any, send: bytes) -> None:
    with suppress(OSError):  # a host may close its end; its answer says why
        rest = memoryview(send)
        while rest:
            rest = rest[stdin.write(rest) :]
        stdin.close()


def _read(process: subprocess.Popen[bytes], host: str) -> tuple[bytes, bytes]:
    """All of stdout, and of stderr what had come when ssh ended."""
    output: dict[IO[bytes] | None, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    ended: float | None = None
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)  # type: ignore[arg-type]  # a pipe, by Popen's arguments
        while selector.get_map() and (ended is None or time.monotonic() < ended + _LAST):
            for key, _ in selector.select(_LAST):
                block = os.read(key.fd, _BLOCK)
                if not block:
                    selector.unregister(key.fileobj)
                output[key.fileobj] += block  # type: ignore[index]  # as registered above
                if len(output[key.fileobj]) > _LONGEST:  # type: ignore[index]  # as registered above
                    raise AnsibleConnectionFailure(
                        f"{host} printed more than {LONGEST >> 20} MiB: our modules print less"
                    )
            if ended is None and process.poll() is not None:
                ended = time.monotonic()
    return bytes(output[process.stdout]), bytes(output[process.stderr])
