"""The suites boot_server and drift_timer on a boot server: all pass, and each test fails when its cause is planted."""

from __future__ import annotations

import sys

import pytest

from tests.containers.boot_server.conftest import Machine
from tests.containers.boot_server.test_role import recap

pytestmark = pytest.mark.containers

STATE = "/var/lib/bmk-deployer/hall"
ROLES = ("--role", "boot_server", "--role", "drift_timer")
# what is typed on the machine, what undoes it, what fails then
PLANTED: list[tuple[str, str, set[str]]] = [
    (
        f"chmod 0640 {STATE}/boot/dnsmasq.conf; chmod 0644 {STATE}/boot/nginx.conf",
        f"chmod 0640 {STATE}/boot/nginx.conf",
        {"boot_server: files"},
    ),
    ("systemctl disable bmk-registry", "systemctl enable bmk-registry", {"boot_server: units"}),
    (
        "mv /var/lib/dpkg/status /root/status; sed '/^Package: ipxe$/,/^$/d' /root/status > /var/lib/dpkg/status",
        "mv /root/status /var/lib/dpkg/status",
        {"boot_server: packages"},
    ),
    (
        "systemctl stop bmk-registry",
        "systemctl start bmk-registry",
        {"boot_server: units", "boot_server: each has a user of its own", "boot_server: images are served"},
    ),
    (
        "systemctl stop bmk-boot-service",
        "systemctl start bmk-boot-service",
        {"boot_server: units", "boot_server: each has a user of its own", "boot_server: files are served"},
    ),
    (
        "systemctl stop bmk-dnsmasq",
        "systemctl start bmk-dnsmasq",
        {"boot_server: units", "boot_server: each has a user of its own", "boot_server: dhcp and tftp are heard"},
    ),
    (
        f"chmod 0755 /var/lib/bmk-deployer {STATE}",
        f"chmod 0750 /var/lib/bmk-deployer {STATE}",
        {"boot_server: files", "boot_server: strangers cannot enter"},
    ),
    (
        "mkdir -p /run/systemd/system/bmk-nginx.service.d; printf '[Service]\\nProtectSystem=no\\nNoNewPrivileges=no\\n"
        "PrivateDevices=no\\nSystemCallFilter=\\nRestrictNamespaces=no\\nProtectKernelModules=no\\n'"
        " > /run/systemd/system/bmk-nginx.service.d/x.conf; systemctl daemon-reload",
        "rm -r /run/systemd/system/bmk-nginx.service.d; systemctl daemon-reload",
        {"boot_server: each may do little"},
    ),
    (
        "systemctl stop bmk-drift-hall.timer",
        "systemctl start bmk-drift-hall.timer",
        {"drift_timer: units", "drift_timer: the next look is set"},
    ),
    (
        "chmod 0700 /var/lib/bmk-drift",
        "chmod 0755 /var/lib/bmk-drift",
        {"drift_timer: files", "drift_timer: pages can be read"},
    ),
    (
        "cd /var/lib/prometheus/node-exporter; ln -sfn /etc/hostname bmk-drift-hall.prom",
        "cd /var/lib/prometheus/node-exporter; ln -sfn /var/lib/bmk-drift/drift.prom bmk-drift-hall.prom",
        {"drift_timer: files"},
    ),
    (
        "d=/run/systemd/system/bmk-drift-hall.service.d; mkdir -p $d; systemctl stop bmk-drift-hall.timer;"
        "printf '[Service]\\nExecStart=\\nExecStart=false\\n' > $d/x.conf; systemctl daemon-reload;"
        "systemctl start bmk-drift-hall || true; systemctl start bmk-drift-hall.timer",
        "rm -r /run/systemd/system/bmk-drift-hall.service.d; systemctl daemon-reload; systemctl reset-failed",
        {"drift_timer: the last look ended well", "host: no unit failed"},
    ),
    (
        "echo 'x:x:0:0::/:/bin/sh' >> /etc/passwd",
        "sed -i '/^x:/d' /etc/passwd",
        {"host: nobody but root is root"},
    ),
    ("echo 'x::1::::::' >> /etc/shadow", "sed -i '/^x:/d' /etc/shadow", {"host: nobody is without a password"}),
]  # fmt: skip


def look(machine: Machine, *more: str) -> tuple[int, dict[str, str]]:
    """Exit code, and `suite: test` -> outcome."""
    done = machine.run("env", "TMPDIR=/run", sys.executable, "-m", "bmk.verify", *more, "boot=local://")
    rows = [line.split(None, 4) for line in done.stdout.splitlines() if line.startswith(("boot ", "all "))]
    assert rows, done.stdout + done.stderr
    return done.returncode, {row[4].split(": ")[0] + ": " + row[4].split(": ")[1]: row[1] for row in rows}


@pytest.fixture(scope="module", autouse=True)
def _roles(machine: Machine) -> None:
    for book in ("boot.yml", "drift.yml"):
        assert recap(machine.play(book=book))["failed"] == 0


def test_the_suites_pass_where_their_roles_ran(machine: Machine) -> None:
    """Every test of both roles passes; suites of roles that did not run here are skipped."""
    code, outcomes = look(machine, *ROLES)
    assert code == 0, outcomes
    assert {o for name, o in outcomes.items() if name.startswith(("boot_server", "drift_timer", "host"))} == {"passed"}
    assert {o for name, o in outcomes.items() if name.startswith(("kubelet", "node_baseline"))} == {"skipped"}


def test_a_role_that_did_not_run_is_an_error_when_it_was_asked_for(machine: Machine) -> None:
    """Green by absence is not green."""
    code, outcomes = look(machine, "--role", "kubelet")
    assert code != 0
    assert outcomes["kubelet: its suite runs"] == "error"


@pytest.mark.parametrize(("plant", "undo", "fails"), PLANTED, ids=[" ".join(sorted(p[2])) for p in PLANTED])
def test_each_test_sees_its_cause(machine: Machine, plant: str, undo: str, fails: set[str]) -> None:
    """What was planted makes these tests fail, and no other."""
    machine.says("sh", "-c", plant)
    try:
        _, outcomes = look(machine)
    finally:
        machine.says("sh", "-c", undo)
    assert {name for name, outcome in outcomes.items() if outcome in ("failed", "error")} == fails
