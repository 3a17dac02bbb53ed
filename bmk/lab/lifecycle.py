"""Starting and stopping a lab."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.state import claim, open_journal, require_own
from bmk.errors import BmkError, ConfigError, Unreachable, raised
from bmk.journal import Event
from bmk.journal.installation import close
from bmk.lab.client import request
from bmk.lab.host import launcher, probe
from bmk.lab.host.preflight import preflight
from bmk.secrets import resolve, write_generated

Print = Callable[[str], None]


def bring_up(dc: DataCenter, reference: str, say: Print, patience: float = 180.0) -> None:
    """Start the lab and wait (at most `patience` seconds) until all its services answer.

    One that is up gets machines for new hosts; one that is still coming up is waited for. One that does not come up is
    stopped, so that the next command starts a new one.
    """
    claim(dc)
    preflight(dc)
    process = _start(dc, reference, say) if launcher.supervisor_pid(dc.name) is None else None
    try:
        _wait_ready(dc, process, say, patience)
    except BmkError:
        launcher.stop(dc.name)
        raise
    if process is not None:
        say(f"lab {dc.name} is up: {len(machine_rows(dc.name))} machines, all off; bmk lab status {reference}")
        return
    added = request(dc.name, "up")["added"]
    say(f"lab {dc.name} is up" + (f"; added {', '.join(added)}" if added else ""))


def _start(dc: DataCenter, reference: str, say: Print) -> subprocess.Popen[bytes]:
    directory = launcher.lab_dir(dc.name)
    say("finding out what this machine can do")
    facts = probe.probe()
    probe.write_facts(facts, directory)
    for line in facts.limits:
        say(f"  {line}")
    make_credentials(dc)
    (directory / launcher.ERROR).unlink(missing_ok=True)
    return launcher.start(dc.name, _absolute(reference))


def _absolute(reference: str) -> str:
    """The supervisor runs elsewhere: a path must hold there too, a name does."""
    return str(Path(reference).absolute()) if Path(reference).exists() else reference


def _wait_ready(dc: DataCenter, process: subprocess.Popen[bytes] | None, say: Print, patience: float) -> None:
    log, seen, end = launcher.lab_dir(dc.name) / "lab.log", "", time.monotonic() + patience
    while (stage := _stage(dc.name)) != "ready":
        ended = not _lives(dc.name, process)  # asked first: its error is written before it ends
        if error := _error(dc.name):
            raise error
        if ended:
            raise Unreachable("the lab ended while it came up", where=str(log), why=_tail(log))
        if time.monotonic() > end:
            raise Unreachable(f"the lab did not come up in {patience:g} s: {stage}", where=str(log), why=_tail(log))
        if stage != seen:
            say(f"  {stage}")
            seen = stage
        time.sleep(0.05)


def _lives(dc: str, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether there is a supervisor, or the launcher is still starting one."""
    return launcher.supervisor_pid(dc) is not None or (process is not None and process.poll() is None)


def _stage(dc: str) -> str:
    try:
        return str(request(dc, "status", patience=5)["stage"])
    except BmkError:
        return "namespaces"  # its supervisor does not listen yet


def _error(dc: str) -> BmkError | None:
    """The error with which the supervisor ended."""
    told = launcher.lab_dir(dc) / launcher.ERROR
    if not told.exists():
        return None
    error = raised(json.loads(told.read_text()))
    error.what = f"the lab did not come up: {error.what}"
    return error


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1000:] if log.exists() else ""


def take_down(dc: DataCenter, say: Print, *, delete: bool = False) -> None:
    """Stop the lab; with `delete`, forget its machines too (disks, consoles, and the journal's records of them)."""
    require_own(dc)
    was_up = launcher.stop(dc.name)
    say(f"lab {dc.name} is down" if was_up else f"lab {dc.name} was not up")
    if delete:
        forget(dc)
        say("its machines are deleted")


def forget(dc: DataCenter) -> None:
    """Delete the disks, and the journal's records of what was installed on them."""
    shutil.rmtree(launcher.lab_dir(dc.name), ignore_errors=True)
    journal = open_journal(dc)
    for name in (*dc.hosts, *dc.spec.clusters):
        known = journal.facts(name)
        close(journal, name)
        if known and name in dc.hosts:
            journal.append(Event("lab", "host.forgotten", "its machine was deleted", name))
    journal.close()


def make_credentials(dc: DataCenter) -> None:
    """User and password for every BMC reference of the lab that has none yet, in the private file of its state."""
    state = dc.state
    found: dict[str, tuple[str, str]] = {}
    for ref in sorted({h.bmc_secret for h in dc.hosts.values() if h.profile.lab is not None}):
        try:
            known = resolve(ref, dc.source.parent, state)
            found[ref] = (known.username, known.password.reveal())
        except ConfigError:
            found[ref] = ("bmk", secrets.token_hex(8))  # 16 characters: what an IPMI BMC can hold
    write_generated(state, found)


def machine_rows(dc: str) -> list[dict[str, Any]]:
    """One row a machine, as `bmk lab status` prints it."""
    return [_row(m) for m in request(dc, "list")["machines"]]


def _row(machine: dict[str, Any]) -> dict[str, Any]:
    boot = machine["boot"]
    flat = {
        "boot": "disk" if boot["enabled"] == "disabled" else f"{boot['target']} {boot['enabled']}",
        "bmc": f"{machine['bmc']['kind']}://{machine['bmc']['address']}:{machine['bmc']['port']}",
        "faults": list(machine["faults"]),
        "disks": [d["serial"] for d in machine["disks"]],
    }
    return {**machine, **flat}


def machine_dir(dc: str, host: str) -> Path:
    """Where a machine's disks and console are. Raises ConfigError when the lab never had it."""
    directory = launcher.lab_dir(dc) / "machines" / host
    if not directory.is_dir():
        raise ConfigError(f"the lab of {dc} has no machine {host!r}", hint=f"bmk lab up {dc}")
    return directory


def heal_all(dc: str, fault: str | None, hosts: tuple[str, ...]) -> list[str]:
    """End faults and say which: one or all, of some machines or all."""
    healed = []
    for machine in request(dc, "list")["machines"]:
        if hosts and machine["name"] not in hosts:
            continue
        for name in machine["faults"]:
            if fault in (None, name):
                request(dc, "fault", fault=name, machine=machine["name"], on=False)
                healed.append(f"{machine['name']}: {name}")
    for name in request(dc, "status")["faults"] if not hosts else ():
        if fault in (None, name):
            request(dc, "fault", fault=name, on=False)
            healed.append(f"{dc}: {name}")
    return healed
