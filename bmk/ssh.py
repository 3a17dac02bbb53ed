"""ssh with pinned host keys, the one place that knows paramiko. A key that was not pinned is never accepted."""

from __future__ import annotations

import io
import logging
import select
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import paramiko

from bmk import programs
from bmk.errors import PreflightRefused, Unreachable
from bmk.paths import private_dir

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks of its threads; errors reach us anyway


KEY = "id_ed25519"  # name of the deployer's key below ssh/ of the state, of whatever type it is
LONGEST = 8 << 20  # bytes of an answer; the longest of ours, evidence of a node, has 0.2 MiB
_BLOCK = 1 << 16


class WrongKey(PreflightRefused):
    """Another machine than the installed one answers."""

    code = "wrong-key"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to log in: address, the deployer's private key, the pinned host keys as openssh lines; as root, port 22.

    `timeout` is for a host that is silent, `patience` for one that answered and is slow: an emulated machine under load
    takes more than 15 s for a handshake. Both in seconds.
    """

    address: str
    identity: Path
    host_keys: tuple[str, ...]
    timeout: float = 15.0
    patience: float = 60.0
    user: str = "root"
    port: int = 22

    @property
    def known_as(self) -> str:
        """What its host keys are kept under, as OpenSSH writes it."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command said."""

    code: int
    out: str
    err: str


def run(target: Target, command: Sequence[str], *, send: bytes = b"", timeout: float = 60.0) -> CommandResult:
    """Run one command as root. Nothing secret in `command`: what is, goes into `send` (its stdin).

    `timeout` in seconds is for all of the answer, which may have 8 MiB. Raises Unreachable when it is not there in time
    or longer, WrongKey when somebody else answers.
    """
    end = time.monotonic() + timeout
    with connected(target) as client:
        try:
            stdin, stdout, _ = client.exec_command(shlex.join(command), timeout=timeout)
            stdin.write(send)
            stdin.channel.shutdown_write()
            return _communicate(stdout.channel, end)
        except _TooLong as error:
            raise Unreachable(f"{command[0]} says too much", where=target.address, why=str(error)) from error
        except (OSError, paramiko.SSHException) as error:
            raise Unreachable(
                f"{command[0]} did not end in {timeout:.0f} s", where=target.address, why=str(error)
            ) from error


class _TooLong(Exception):
    """A host goes on talking."""


def _communicate(channel: paramiko.Channel, end: float) -> CommandResult:
    """All that a command says until it ends. Raises TimeoutError at `end`, _TooLong after enough."""
    out, err = bytearray(), bytearray()
    while not channel.eof_received or channel.recv_ready() or channel.recv_stderr_ready():
        if not select.select([channel], [], [], _left(end))[0]:
            _left(end)
        if channel.recv_ready():
            out += channel.recv(_BLOCK)
        if channel.recv_stderr_ready():
            err += channel.recv_stderr(_BLOCK)
        if len(out) + len(err) > LONGEST:
            raise _TooLong(f"more than {LONGEST >> 20} MiB")
    if not channel.status_event.wait(_left(end)):
        _left(end)
    return CommandResult(channel.recv_exit_status(), out.decode(errors="replace"), err.decode(errors="replace"))


class CommandOutput:
    """What a command says, read while it runs; `finish` after its end. Bounded in time and size, stderr too."""

    def __init__(self, channel: paramiko.Channel, what: str, where: str, bounds: tuple[float, int]) -> None:
        self._channel, self._what, self._where = channel, what, where
        self._end, self._left_over = time.monotonic() + bounds[0], bounds[1]
        self._said = bytearray()

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises Unreachable when it takes too long or says too much."""
        while True:
            if self._channel.recv_stderr_ready():
                self._said = (self._said + self._channel.recv_stderr(_BLOCK))[-_BLOCK:]
            if self._channel.recv_ready():
                block: bytes = self._channel.recv(min(size, _BLOCK))
                self._left_over -= len(block)
                if self._left_over < 0:
                    raise Unreachable(f"{self._what} says too much", where=self._where)
                return block
            if self._channel.eof_received and not self._channel.recv_stderr_ready():
                return b""
            self._wait()

    def finish(self) -> tuple[int, str]:
        """Its exit code and the last of what it said on stderr."""
        while self.read(_BLOCK):
            pass
        if not self._channel.status_event.wait(max(0.0, self._end - time.monotonic())):
            self._late()
        return self._channel.recv_exit_status(), self._said.decode(errors="replace")

    def _wait(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            self._late()
        select.select([self._channel], [], [], min(left, 1.0))
        if self._channel.closed and not (self._channel.eof_received or self._channel.recv_ready()):
            raise Unreachable(f"the connection ended before {self._what} did", where=self._where)

    def _late(self) -> NoReturn:
        raise Unreachable(f"{self._what} did not end in time", where=self._where)


@contextmanager
def streamed(
    target: Target, command: Sequence[str], *, send: bytes, seconds: float, most: int
) -> Iterator[CommandOutput]:
    """Run one command and read what it says as it comes: `most` bytes at most, all of it within `seconds`.

    As `run`: nothing secret in `command`. The command is ended by the connection that ends with this.
    """
    with connected(target) as client:
        try:
            stdin, stdout, _ = client.exec_command(shlex.join(command), timeout=seconds)
            stdin.write(send)
            stdin.channel.shutdown_write()
        except (OSError, paramiko.SSHException) as error:
            raise Unreachable(f"{command[0]} did not begin", where=target.address, why=str(error)) from error
        yield CommandOutput(stdout.channel, command[0], target.address, (seconds, most))


@contextmanager
def files_of(target: Target) -> Iterator[paramiko.SFTPClient]:
    """The files of another machine, by sftp. OSError is what its server says of a file; raises Unreachable when the
    connection ends.
    """
    with connected(target) as client:
        try:
            with client.open_sftp() as sftp:
                yield sftp
        except (EOFError, paramiko.SSHException) as error:
            raise Unreachable("sftp ended", where=target.address, why=str(error)) from error


def _left(end: float) -> float:
    """Seconds until then. Raises TimeoutError when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("its time is over")
    return left


def upload(target: Target, content: bytes, path: str, mode: int = 0o600) -> None:
    """Write a file on the host, whole or not at all."""
    with connected(target) as client, client.open_sftp() as sftp:
        sftp.putfo(io.BytesIO(content), path + ".bmk")
        sftp.chmod(path + ".bmk", mode)
        sftp.posix_rename(path + ".bmk", path)


@contextmanager
def connected(target: Target) -> Iterator[paramiko.SSHClient]:
    """A logged-in client. Raises Unreachable or WrongKey."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    for line in target.host_keys:
        kind, key = line.split()[:2]
        # the host made it: one that is none pins nothing
        with suppress(paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
            entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{target.known_as} {kind} {key}")
            if entry is not None and entry.key is not None:
                client.get_host_keys().add(target.known_as, kind, entry.key)
    try:
        _connect(client, target)
        yield client
    finally:
        client.close()


def _connect(client: paramiko.SSHClient, target: Target) -> None:
    def patient(*arguments: Any, **more: Any) -> paramiko.Transport:
        transport = paramiko.Transport(*arguments, **more)
        transport.handshake_timeout = target.patience  # paramiko's own 15 s cannot be passed to connect
        return transport

    try:
        client.connect(
            target.address,
            port=target.port,
            username=target.user,
            pkey=login_key(target.identity),
            sock=socket.create_connection((target.address, target.port), timeout=target.timeout),
            transport_factory=patient,
            timeout=target.patience,
            banner_timeout=target.patience,
            auth_timeout=target.patience,
            allow_agent=False,
            look_for_keys=False,
        )
    except paramiko.BadHostKeyException as error:
        raise WrongKey(
            "another machine answers here than the one that was installed",
            where=target.address,
            why="its host key is not the pinned one",
            hint="find who holds the address; never accept the key",
        ) from error
    except paramiko.AuthenticationException as error:
        raise Unreachable("the deployer's key is not accepted", where=target.address, why=str(error)) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        if "not found in known_hosts" in str(error):
            raise WrongKey("no key of this host is pinned", where=target.address) from error
        raise Unreachable("ssh does not answer", where=target.address, why=str(error)) from error


def deployer_key(state: Path) -> Path:
    """The deployer's key of a data center, made on first use; its public half is beside it.

    The private half may be under a passphrase, or not be here at all: then an agent holds it (`login_key`), and
    PreflightRefused says when none does.
    """
    key = state / "ssh" / KEY
    if not key.exists() and not key.with_suffix(".pub").exists():
        private_dir(key.parent)
        make_key(key, f"bmk {state.name}")
    login_key(key)
    return key


def make_key(path: Path, comment: str) -> None:
    """A new pair without a passphrase. PreflightRefused where OpenSSH is not installed."""
    programs.require(["ssh-keygen"])
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def login_key(path: Path) -> paramiko.PKey:
    """The private key of a file, or what signs in its place: the agent, by the public half beside it.

    Only this very key of the agent is used, however many it holds. PreflightRefused when nobody has it.
    """
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        why = "its private half is not here"
    except (paramiko.PasswordRequiredException, TypeError):  # cryptography's TypeError: no passphrase was given
        why = "it is under a passphrase"
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise PreflightRefused("the deployer's key cannot be read", where=str(path), why=str(error)) from error
    for held in paramiko.Agent().get_keys():
        if _same(held, path.with_suffix(".pub")):
            return held
    raise PreflightRefused(
        "the deployer's key is locked, and no ssh agent of this session holds it",
        where=str(path),
        why=why,
        hint=f"ssh-add {path}" if path.exists() else "ssh-add the private half, or ssh-add -s PROVIDER for a token",
    )


def _same(held: paramiko.PKey, public: Path) -> bool:
    try:
        return held.get_base64() == public.read_text().split()[1]
    except (OSError, IndexError):
        return False
