"""A lab comes up whole, changes nothing on its host, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.lab.host.init import start_ticks
from bmk.lab.host.probe import try_firmware

from .conftest import Lab, eventually, name_of

pytestmark = pytest.mark.services


def host_view() -> dict[str, object]:
    """What must not change on the host: its interfaces, routes, mounts, control groups and named namespaces."""
    run = lambda *c: subprocess.run(c, capture_output=True, text=True, check=True).stdout  # noqa: E731
    groups = [p for p in Path("/sys/fs/cgroup").rglob("bmk-testlab*") if p.is_dir()]
    return {
        "links": run("ip", "-o", "link").count("\n"),
        "routes": run("ip", "route", "show", "table", "all"),
        "mounts": Path("/proc/self/mounts").read_text(),
        "cgroups": groups,
        "netns": sorted(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else [],
    }


def supervisor_pid(lab: Lab) -> int:
    return int(json.loads((lab.directory / "supervisor.json").read_text())["pid"])


def keeper_pid(lab: Lab) -> int:
    """The process outside of the namespaces: the parent of unshare, which is the parent of PID 1."""
    unshare = _parent(supervisor_pid(lab))
    return _parent(unshare)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_nothing_on_the_host_changes_and_nothing_is_left(make_lab: Callable[[str], Lab]) -> None:
    """Interfaces, routes, mounts, cgroups and namespaces of the host are the same before, during and after a lab."""
    before = host_view()
    lab = make_lab("a")
    lab.up()
    assert host_view() == before
    lab.down()
    assert host_view() == before
    eventually(lambda: not lab.processes())


@pytest.mark.parametrize("victim", [supervisor_pid, keeper_pid])
def test_a_killed_lab_leaves_nothing(lab: Lab, victim: Callable[[Lab], int]) -> None:
    """kill -9, inside or outside of the namespaces, takes every process with it; the next `up` works."""
    lab.bmk("power", str(lab.file), "on", check=False)
    assert len(lab.processes()) > 5
    os.kill(victim(lab), signal.SIGKILL)
    eventually(lambda: not lab.processes())
    lab.up()
    assert "one" in lab.bmk("lab", "status", str(lab.file)).stdout


def test_machines_die_with_the_lab(lab: Lab) -> None:
    """A running virtual machine does not outlive a killed supervisor."""
    lab.python(
        "from bmk.lab.client import request; request('testlab', 'power', machine='one', action='on')", check=True
    )
    eventually(lambda: any("qemu" in name_of(pid) for pid in lab.processes()))
    os.kill(supervisor_pid(lab), signal.SIGKILL)
    eventually(lambda: not lab.processes())


def test_up_twice_is_one_lab(lab: Lab) -> None:
    """A second `up` finds the first."""
    first = supervisor_pid(lab)
    lab.up()
    assert supervisor_pid(lab) == first


def test_down_twice_is_fine(lab: Lab) -> None:
    """`down` of what is down says so and succeeds."""
    lab.down()
    assert "was not up" in lab.bmk("lab", "down", str(lab.file)).stderr


def test_two_labs_with_the_same_addresses(make_lab: Callable[[str], Lab]) -> None:
    """Two checkouts can each have a lab of the same name and addresses up at once; ending one leaves the other."""
    first, second = make_lab("a"), make_lab("b")
    first.up()
    second.up()
    first.down()
    assert "one" in second.bmk("lab", "status", str(second.file)).stdout


def test_without_a_lab_the_next_command_is_named(make_lab: Callable[[str], Lab]) -> None:
    """Asking for a lab that is not up exits 5 and says `bmk lab up`."""
    done = make_lab("a").bmk("lab", "status", str(make_lab("b").file), check=False)
    assert done.returncode == 5
    assert "bmk lab up testlab" in done.stderr


def test_bmc_credentials_are_private(lab: Lab) -> None:
    """The generated password lies in one file for its owner only, and in no process's arguments."""
    path = lab.state / "testlab" / "secrets.yml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = next(line.split()[-1] for line in path.read_text().splitlines() if "password" in line).strip("'\"")
    arguments = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in lab.processes()]
    assert len(password) >= 16
    assert not any(password.encode() in words for words in arguments)


def test_a_service_that_dies_comes_back(lab: Lab) -> None:
    """A crashed daemon is started again and the lab says how often."""
    nginx = next(pid for pid in lab.processes() if "nginx: master" in name_of(pid))
    os.kill(nginx, signal.SIGKILL)
    code = (
        "import json; from bmk.lab.client import request; print(json.dumps(request('testlab', 'status')['services']))"
    )

    def again() -> bool:
        services = {s["name"]: s for s in json.loads(lab.python(code).stdout)}
        return bool(services["nginx"]["restarts"] == 1 and services["nginx"]["running"])

    eventually(again)


def test_commands_run_inside_with_all_they_had(lab: Lab) -> None:
    """Entering a lab keeps stdin, directory, environment and exit code, and reaches its BMCs and boot server."""
    code = """
import subprocess, sys
from bmk.lab.host.netns import inside_command
script = "read word; echo $word $PWD $BMK_X; curl -s http://10.61.0.1/healthz >&2; exit 7"
sys.exit(subprocess.run(inside_command("testlab", ["sh", "-c", script]), cwd="/usr").returncode)
"""
    done = lab.python(f"import os; os.environ['BMK_X'] = 'kept'\n{code}", input="hello\n")
    assert done.returncode == 7
    assert done.stdout.split() == ["hello", "/usr", "kept"]
    assert "testlab" in done.stderr


def test_hosts_added_to_the_file_get_machines(lab: Lab) -> None:
    """`up` of a running lab builds what the file has got since, and leaves the others alone."""
    host = lab.file.read_text().split("        - name: two")[0].split("        - name: one")[1]
    three = host.replace("ONE", "THREE").replace("00:01", "00:03").replace("0.11", "0.13")
    lab.file.write_text(lab.file.read_text() + "        - name: three" + three)
    pid = supervisor_pid(lab)
    assert "added three" in lab.bmk("lab", "up", str(lab.file)).stderr
    assert supervisor_pid(lab) == pid


def test_deleting_forgets_the_disks(lab: Lab) -> None:
    """`down` keeps the machines' disks, `down --delete` does not, nor what the journal believed of them."""
    disk = lab.directory / "machines/one/disk0.img"
    lab.down()
    assert disk.exists()
    lab.bmk("lab", "down", str(lab.file), "--delete")
    assert not disk.exists()


def test_a_recycled_pid_is_not_taken_for_a_lab(make_lab: Callable[[str], Lab]) -> None:
    """A supervisor's PID that belongs to another process now is not killed and not entered."""
    lab = make_lab("a")
    lab.directory.mkdir(parents=True)
    stale = {"pid": os.getpid(), "ticks": start_ticks(os.getpid()) - 1}
    (lab.directory / "supervisor.json").write_text(json.dumps(stale))
    lab.down()
    lab.up()


def test_environment_facts_are_kept(lab: Lab) -> None:
    """What this machine can do is written down, each limit in words, for whoever chooses a timing profile."""
    facts = json.loads((lab.directory / "facts.json").read_text())
    assert facts["timing"] == ("standard" if facts["kvm"] else "emulated")
    assert facts["kvm"] or "no KVM" in " ".join(facts["limits"])


def test_firmware_that_is_tried_runs() -> None:
    """Emulated, it gets to its boot menu: a no of the probe is the accelerator's; one that is not there is named."""
    assert try_firmware("-accel", "tcg", "-cpu", "max", patience=120) == ""
    assert "invalid accelerator nothing" in try_firmware("-accel", "nothing")
