"""The adapter over ansible-runner, with real playbook runs on this machine (connection: local)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmk.ansible.runner import ConvergeRequest, HostResult, converge
from bmk.datacenter.inventory import inert
from bmk.errors import BmkError
from bmk.journal import Event

pytestmark = pytest.mark.services

PLAY = """\
- hosts: all
  gather_facts: false
  strategy: bmk_host_pinned
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
LETTERS = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Write
      bmk_files:
        section: test
        items: "{{ wanted[inventory_hostname] + [{'path': target ~ '/label', 'content': 'label ' ~ (label | quote)}] }}"
    - name: Run
      ansible.builtin.shell: "printf %s {{ label | quote }} > {{ target | quote }}/printed"
    - name: Decide
      ansible.builtin.assert: {that: "label != 'x' and kept.serial != 'x'"}
"""
COMPROMISED = """\
- hosts: good
  gather_facts: false
  tasks:
    - name: Look
      bmk_probe:
      register: bmk_probe
      ignore_errors: true
- hosts: gone
  gather_facts: false
  tasks:
    - name: Reach the next host
      ansible.builtin.raw: "true"
"""
TALK = """\
- hosts: all
  gather_facts: false
  strategy: bmk_host_pinned
  tasks:
    - name: Look
      bmk_probe:
"""
SLOW = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Take long
      ansible.builtin.command: {argv: [sleep, "600"]}
"""

STAYING = """\
- hosts: all
  gather_facts: false
  strategy: bmk_host_pinned
  tasks:
    - name: Look
      bmk_probe:
    - name: Take long
      ansible.builtin.command: {argv: [sleep, "30"]}
      check_mode: false
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


@pytest.mark.parametrize("whom", ["ansible-playbook", "its worker"])
def test_a_run_that_was_cut_short_is_done_with_nobody(tmp_path: Path, whom: str) -> None:
    """Killed while a host is half done, as where no memory is left: that host has failed, at once."""
    request, found = _request(tmp_path, STAYING, ("good",), timeout=60), dict[str, int]()

    def kill() -> None:
        _until(lambda: found.update(_at_work(tmp_path)) or found)
        os.kill(found[whom], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    results, events = _run(request)
    killer.join()
    assert [(e.kind, e.text) for e in events] == [("task.ok", "Look")]
    assert not results["good"].ok
    assert "ended before it was done with this host" in results["good"].message


def test_a_run_that_was_killed_before_it_began_is_no_fault_of_its_playbook(tmp_path: Path) -> None:
    """Nobody is sent to look for an error in a playbook that has none."""

    def kill() -> None:
        _until(lambda: _playbooks(tmp_path))
        os.kill(_playbooks(tmp_path)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    results, events = _run(_request(tmp_path, STAYING, ("good",)))
    killer.join()
    assert events == []
    assert "was killed" in results["good"].message


def _at_work(tmp_path: Path) -> dict[str, int]:
    """The two processes above the command of a long task; none before it runs."""
    playbooks = _playbooks(tmp_path)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended just now
            if path.read_bytes() == b"sleep\x0030\0":
                above = [pid for pid in _above(int(path.parent.name)) if pid in playbooks]
                if len(above) == 2:
                    return dict(zip(("its worker", "ansible-playbook"), above, strict=True))
    return {}


def _above(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


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


def test_what_a_host_or_a_file_chose_is_no_template(tmp_path: Path) -> None:
    """Texts full of templates, as extra variables, as secrets and in the inventory, arrive to the letter; none runs."""
    marker = tmp_path / "marker"
    evil = f"{{{{ lookup('pipe', 'touch {marker}') }}}}"
    odd = f"#jinja2:variable_start_string:'[['\n[[ lookup('pipe', 'touch {marker}') ]] {{% raw %}} {{# x #}} $(x) 'y"
    items = [{"path": f"{tmp_path}/{n}", "content": text} for n, text in enumerate([evil, odd, "{{ honest }}\n"])]
    variables = {"target": str(tmp_path), "wanted": {"good": items, "{{ evil }}": [evil]}}
    request = replace(_request(tmp_path, LETTERS, ("good",), variables=variables, secrets={"label": evil}), check=False)
    hostvars = request.inventory["_meta"]["hostvars"]
    hostvars["good"]["kept"] = {"serial": evil, evil: odd}
    results, _ = _run(request)
    assert results["good"].ok, results
    assert [(tmp_path / str(n)).read_text() for n in range(3)] == [evil, odd, "{{ honest }}\n"]
    assert (tmp_path / "printed").read_text() == evil
    assert not marker.exists()


def test_an_inventory_script_is_inert_for_plain_ansible(tmp_path: Path) -> None:
    """What `bmk inventory` prints of a dc.yml with templates in it says them to whoever runs ansible by hand."""
    marker, script = tmp_path / "marker", tmp_path / "inventory"
    evil = f"{{{{ lookup('pipe', 'touch {marker}') }}}}"
    hostvars = {"good": {"ansible_connection": "local", "ntp": [evil], "text": evil}}
    groups = {"all": {"hosts": ["good"], "vars": {"shared": {"a": evil}}}, "_meta": {"hostvars": hostvars}}
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(inert(groups))}\nEND\n")
    script.chmod(0o700)
    program = Path(sys.executable).parent / "ansible"
    command = [program, "-i", script, "all", "-m", "debug", "-a", "msg={{ [text, ntp, shared] }}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("lookup(") == 3
    assert not marker.exists()


def test_a_compromised_host_reaches_no_other_host(tmp_path: Path) -> None:
    """A Python that answers with `add_host` sets no proxy command for the next host, and its host is said to be odd."""
    marker, python = tmp_path / "marker", tmp_path / "python3"
    answer = {
        "changed": True,
        "add_host": {"host_name": "gone", "groups": [], "host_vars": {
            "ansible_ssh_common_args": f"-o ProxyCommand='touch {marker}'"}},
        "ansible_facts": {"discovered_interpreter_python": "/bin/false"},
    }  # fmt: skip
    python.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n@bmk@{json.dumps(answer)}\nEND\n")
    python.chmod(0o700)
    request = replace(_request(tmp_path, COMPROMISED, ("good", "gone")), check=False)
    request.inventory["_meta"]["hostvars"]["good"]["ansible_python_interpreter"] = str(python)
    results, _ = _run(request)
    assert results["gone"].unreachable
    assert not marker.exists()


@pytest.mark.parametrize(
    ("talk", "message"), [("yes", "printed more than 8 MiB"), ("while printf x; do sleep 1; done", "imed out")]
)
def test_a_host_that_goes_on_talking_costs_nobody_else(tmp_path: Path, talk: str, message: str) -> None:
    """Endless and dripping answers end within bounds of size and time, as that host's failure only."""
    endless = tmp_path / "ssh"
    endless.write_text(f"#!/bin/sh\n{talk}\n")
    endless.chmod(0o700)
    request = replace(_request(tmp_path, TALK, ("good", "gone")), timeout=20)
    request.inventory["_meta"]["hostvars"]["gone"]["ansible_ssh_executable"] = str(endless)
    results, _ = _run(request)
    assert results["good"].ok, results["good"]
    assert not results["gone"].ok
    assert message in results["gone"].message
