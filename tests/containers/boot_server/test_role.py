"""The role boot_server on a bare Debian with systemd: in order, from nothing to a boot server that serves."""

from __future__ import annotations

import re
import time

import pytest

from tests.containers.boot_server.conftest import Machine

pytestmark = pytest.mark.containers

STATE = "/var/lib/bmk-deployer/hall"
UNITS = ("bmk-boot-service", "bmk-nginx", "bmk-dnsmasq", "bmk-registry", "bmk-approver")


def recap(output: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", output.rpartition("PLAY RECAP")[2])}


def test_check_mode_on_a_bare_machine_says_what_it_would_do(machine: Machine) -> None:
    """Check mode and diff work before anything is there, and change nothing."""
    said = recap(machine.play("--check", "--diff"))
    assert (said["failed"], said["changed"] > 0) == (0, True)
    assert machine.run("getent", "passwd", "bmk").returncode != 0


def test_the_role_makes_a_boot_server(machine: Machine) -> None:
    """One run: all units run, and answer with what a lab's boot server answers."""
    assert recap(machine.play())["failed"] == 0
    assert machine.says("systemctl", "is-active", *UNITS).split() == ["active"] * len(UNITS)
    assert "ok hall" in machine.says(
        "curl", "-sf", "--retry", "5", "--retry-all-errors", "http://10.20.0.2:8080/healthz"
    )
    script = machine.says("curl", "-sf", "http://10.20.0.2:8080/boot/ipxe?mac=52:54:00:20:00:11")
    assert "nothing to install now" in script
    pinned = ("curl", "-sf", "--retry", "5", "--retry-all-errors", "--cacert", f"{STATE}/boot/registry.crt")
    machine.says(*pinned, "https://10.20.0.2:5000/v2/")
    assert machine.run("curl", "-sf", "http://10.20.0.2:5000/v2/").returncode != 0, "images are served without TLS"


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    """Converged is converged: no change by a run, none foreseen by check mode."""
    for more in ((), ("--check", "--diff")):
        said = recap(machine.play(*more))
        assert (said["failed"], said["changed"]) == (0, 0)


def test_servers_are_kept_apart(machine: Machine) -> None:
    """nginx can read neither journal nor change configuration; strangers cannot reach the boot service's socket."""
    assert machine.run("cat", f"{STATE}/journal.db", user="bmk-nginx").returncode != 0
    assert machine.run("sh", "-c", f"echo > {STATE}/boot/nginx.conf", user="bmk-nginx").returncode != 0
    assert machine.run("rm", "-f", f"{STATE}/boot/dnsmasq.conf", user="bmk-nginx").returncode != 0
    stranger = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    socket = ("curl", "-s", "--unix-socket", f"{STATE}/boot/service.sock", "http://x/healthz")
    assert machine.run(*stranger, *socket).returncode != 0
    assert machine.run(*socket, user="bmk-nginx").returncode == 0


def test_new_hosts_reach_dnsmasq_without_a_restart(machine: Machine) -> None:
    """What the boot service writes when the data center changes is read again by the same dnsmasq process."""
    show = ("systemctl", "show", "-p", "MainPID", "--value", "bmk-dnsmasq")
    log = f"{STATE}/boot/dnsmasq.log"
    before, reads = machine.says(*show), machine.says("grep", "-c", "read .*dnsmasq.hosts", log)
    line = "52:54:00:20:00:77,10.20.0.77,new,1h"
    assert machine.run("sh", "-c", f"echo {line} >> {STATE}/boot/dnsmasq.hosts", user="bmk").returncode == 0
    deadline = time.monotonic() + 20
    while machine.says("grep", "-c", "read .*dnsmasq.hosts", log) == reads:
        assert time.monotonic() < deadline, "dnsmasq did not read its hosts again"
        time.sleep(0.2)
    assert machine.says(*show) == before


def test_the_approver_is_there_without_a_cluster(machine: Machine) -> None:
    """Before there is a kubeconfig it says so, once, and goes on: it is not restarted over and over."""
    until = time.monotonic() + 60
    log = ("journalctl", "-u", "bmk-approver", "-o", "cat")
    while "no certificate can be approved" not in (said := machine.says(*log)):
        assert time.monotonic() < until, said
        time.sleep(0.5)
    assert machine.says("systemctl", "show", "-P", "NRestarts", "bmk-approver").strip() == "0"


def test_units_are_hardened(machine: Machine) -> None:
    """systemd's own rating of each unit is OK (2.5 of 10 at most; a plain unit has 9.6)."""
    for unit in UNITS:
        rated = machine.says("systemd-analyze", "security", "--no-pager", f"{unit}.service")
        found = re.search(r"exposure level for \S+: ([\d.]+)", rated)
        assert found is not None
        assert float(found[1]) <= 2.5, unit
