"""The adapter over ansible-runner, with real playbook runs on this machine (connection: local)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bmk.ansible.runner import ConvergeRequest, HostResult, converge
from bmk.errors import BmkError
from bmk.journal import Event

pytestmark = pytest.mark.services

PLAY = """\
- hosts: all
  gather_facts: false
  strategy: ansible.builtin.host_pinned
  tasks:
    - name: Look
      bmk_probe:
      register: bmk_probe
    - name: Fail on one
      ansible.builtin.assert: {that: "inventory_hostname != 'bad'", fail_msg: because}
    - name: Use the secret
      bmk_files:
        section: test
        items: [{path: "{{ target }}/{{ inventory_hostname }}", content: "{{ canary }}", secret: true}]
      no_log: true
"""
SLOW = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Take long
      ansible.builtin.command: {argv: [sleep, "600"]}
"""


def _inventory() -> dict[str, Any]:
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    closed = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    hostvars = {"good": local, "bad": local, "gone": closed}
    return {"all": {"hosts": list(hostvars), "vars": {}}, "_meta": {"hostvars": hostvars}}


def _request(
    tmp_path: Path, play: str, hosts: tuple[str, ...] = ("good", "bad", "gone"), **more: Any
) -> ConvergeRequest:
    book = tmp_path / "play.yml"
    book.write_text(play)
    more = {"variables": {"target": str(tmp_path)}, "secrets": {"canary": "canary-7f3a"}} | more
    return ConvergeRequest(str(book), hosts, _inventory(), tmp_path / "runs", check=True, **more)


def _run(request: ConvergeRequest) -> tuple[dict[str, HostResult], list[Event]]:
    events: list[Event] = []
    return asyncio.run(converge(request, events.append)), events


def test_one_bad_host_never_stops_the_others(tmp_path: Path) -> None:
    """Good, failed and silent hosts in one run: a result each, with the cause."""
    results, events = _run(_request(tmp_path, PLAY))
    assert results["good"].ok
    assert results["good"].calls == 2
    assert (results["bad"].failed_task, results["bad"].message) == ("Fail on one", "because")
    assert results["gone"].unreachable
    assert not results["gone"].ok
    assert {e.host for e in events} == {"good", "bad", "gone"}
    assert all(e.source == "ansible" for e in events)


def test_secrets_leave_no_trace(tmp_path: Path) -> None:
    """A secret variable is in no file of the run, no event and no argument list when the run is over."""
    results, events = _run(_request(tmp_path, PLAY, ("good",)))
    assert results["good"].ok
    files = [p for p in (tmp_path / "runs").rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if b"canary-7f3a" in p.read_bytes()]
    assert "canary-7f3a" not in json.dumps([dict(e.data) | {"text": e.text} for e in events], default=str)


def test_secrets_of_the_environment_are_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ansible-runner writes its environment down; BMC passwords given by environment are not in it."""
    monkeypatch.setenv("BMK_SECRET_BMC_PAR_PASSWORD", "canary-9b1c")
    _run(_request(tmp_path, PLAY, ("good",)))
    files = [p for p in (tmp_path / "runs").rglob("*") if p.is_file()]
    assert not [p for p in files if b"canary-9b1c" in p.read_bytes()]


def test_a_playbook_that_does_not_parse_is_one_error(tmp_path: Path) -> None:
    """Nothing ran anywhere, so it is no host's fault."""
    with pytest.raises(BmkError, match="did not start"):
        _run(_request(tmp_path, "- hosts: all\n  tasks: [{no_such_module: {}}]\n", ("good",)))


def test_ansible_dies_with_its_caller(tmp_path: Path) -> None:
    """kill -9 of bmk leaves no ansible-playbook behind that would go on changing hosts."""
    request = _request(tmp_path, SLOW, ("good",))
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom bmk.ansible.runner import ConvergeRequest, converge\n"
        f"inventory = {_inventory()!r}\n"
        f"request = ConvergeRequest({request.playbook!r}, ('good',), inventory, Path({str(tmp_path / 'runs')!r}))\n"
        "asyncio.run(converge(request, print))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    _until(lambda: bool(_playbooks(tmp_path)))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _until(lambda: not _playbooks(tmp_path))


def _playbooks(tmp_path: Path) -> list[int]:
    """Main processes of ansible-playbook that run this test's playbook."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if b"ansible-playbook" in line and str(tmp_path).encode() in line:
            found.append(int(path.parent.name))
    return found


def _until(true: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
