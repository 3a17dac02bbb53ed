"""The one place that knows ansible-runner: run a playbook on some hosts, hear its events, get a result per host.

    results = await converge(ConvergeRequest("configure.yml", ("cp-1", "worker-1"), inventory, run_dir), on_event)
    results["cp-1"].ok, results["cp-1"].calls, results["cp-1"].manifest

Several runs may be under way at once; each has a private directory of its own below `run_dir`. Secrets go through a
file that only the owner can read and that is gone when the run ends. When bmk is killed, `ansible-playbook` dies too.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

from bmk.ansible.events import EventRecorder, HostResult
from bmk.ansible.manifest import with_digests
from bmk.datacenter.inventory import inert
from bmk.errors import BmkError
from bmk.journal import Event
from bmk.paths import content_dir, private_dir
from bmk.permit import Permit, permitted

__all__ = ["ConvergeRequest", "HostResult", "converge"]

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class ConvergeRequest:
    """A playbook for some hosts.

    `playbook` is a file below `playbooks/`, `inventory` the JSON of `bmk inventory --list`. `variables` may be seen in
    logs, `secrets` never are. `run_dir` gets ansible-runner's private data (events, output). `timeout` is in seconds.
    """

    playbook: str
    hosts: tuple[str, ...]
    inventory: Mapping[str, Any]
    run_dir: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    forks: int = 50
    timeout: int = 3600
    phase: str | None = None


async def converge(request: ConvergeRequest, on_event: Callable[[Event], None]) -> dict[str, HostResult]:
    """Run the playbook; one result for each host asked for, also for those that were never reached.

    `on_event` is called from another thread. Cancelling the task ends ansible-playbook, or keeps it from starting. A
    bad host is a result with `ok` False, never an exception; BmkError means that no host was touched (a playbook that
    does not parse).
    """
    with permitted() as permit:
        return await asyncio.to_thread(_run, request, on_event, permit)


def _run(request: ConvergeRequest, on_event: Callable[[Event], None], permit: Permit) -> dict[str, HostResult]:
    recorder = EventRecorder(request.hosts, request.phase, on_event)
    with _private_data(request) as (private, sockets):
        files = ["-e", f"@{private}/variables.json", "-e", f"@{private}/secrets.json"]
        permit.demand()
        runner = ansible_runner.run(
            private_data_dir=str(private),
            playbook=str(content_dir() / "playbooks" / request.playbook),
            inventory=str(private / "inventory"),
            limit=",".join(request.hosts),
            cmdline=shlex.join([*files, "--diff", *(["--check"] if request.check else [])]),
            envvars=_environment(private, sockets, request),
            event_handler=recorder.handle,
            cancel_callback=lambda: permit.revoked,
            settings={"job_timeout": request.timeout, "pexpect_timeout": 1},
            quiet=True,
        )
        output = (Path(runner.config.artifact_dir) / "stdout").read_text(errors="replace")
    results = recorder.results(timed_out=runner.status == "timeout")
    killed = runner.rc is None  # a signal leaves no exit code
    if runner.status == "failed" and not killed and not recorder.any_task_ran:
        raise BmkError(
            f"{request.playbook} did not start",
            where=str(private),
            why="\n".join(output.strip().splitlines()[-12:]),
            hint="read the output above; `ansible-playbook --syntax-check` names the line",
        )
    return results


@contextmanager
def _private_data(request: ConvergeRequest) -> Iterator[tuple[Path, Path]]:
    """The private data directory and one for ssh's control sockets (short: a socket's path has 108 bytes at most)."""
    private_dir(request.run_dir)
    private = Path(tempfile.mkdtemp(prefix=f"{Path(request.playbook).stem}-", dir=request.run_dir)).resolve()
    sockets = Path(tempfile.mkdtemp(prefix="bmk-"))
    secrets = private / "secrets.json"
    try:
        _write(private / "inventory.json", json.dumps(inert(with_digests(request.inventory))))
        _write(private / "inventory", f'#!/bin/sh\nexec cat "{private}/inventory.json"\n', 0o700)
        _write(private / "variables.json", json.dumps(inert(request.variables)))
        _write(secrets, json.dumps(inert(request.secrets)))
        _write(private / "ansible.cfg", "")
        (private / "bin").mkdir()
        program = Path(sys.executable).parent / "ansible-playbook"  # dies with the thread that started it
        launcher = f'#!/bin/sh\nexec setpriv --pdeathsig KILL -- "{program}" "$@"\n'
        _write(private / "bin/ansible-playbook", launcher, 0o700)
        yield private, sockets
    finally:
        secrets.unlink(missing_ok=True)
        shutil.rmtree(sockets, ignore_errors=True)  # ssh masters end by ControlPersist


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    path.touch(mode)  # before anything is in it
    path.write_text(text)


def _environment(private: Path, sockets: Path, request: ConvergeRequest) -> dict[str, str]:
    blank = {
        name: "" for name in os.environ if name.startswith("BMK_SECRET_")
    }  # ansible-runner writes its environment down
    return blank | {
        "PATH": f"{private}/bin:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{_PACKAGE.parent.parent}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(private / "ansible.cfg"),  # none: everything is said here
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_ROLES_PATH": str(content_dir() / "roles"),
        "ANSIBLE_LIBRARY": str(_PACKAGE / "modules"),
        "ANSIBLE_MODULE_UTILS": str(_PACKAGE / "module_utils"),
        "ANSIBLE_ACTION_PLUGINS": str(_PACKAGE / "action"),
        "ANSIBLE_CONNECTION_PLUGINS": str(_PACKAGE / "connection"),
        "ANSIBLE_STRATEGY_PLUGINS": str(_PACKAGE / "strategy"),
        "ANSIBLE_TRANSPORT": "bmk_ssh",
        "ANSIBLE_FORKS": str(request.forks),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_INJECT_FACT_VARS": "False",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_ARGS": " ".join(f"-o {option}" for option in _SSH),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_TIMEOUT": "60",
        "ANSIBLE_TASK_TIMEOUT": str(request.timeout - max(10, request.timeout // 10)),  # before the run's own
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "True",
    }


_SSH = ("ControlMaster=auto", "ControlPersist=30s", "ServerAliveInterval=15", "ServerAliveCountMax=8")
