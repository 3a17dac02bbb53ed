"""`bmk console`, `ssh`, `kubeconfig`, `grant`: hands on one machine and on a cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from bmk.boot import grants
from bmk.cli.ssh import _pinned, ssh_command
from bmk.cluster.kubeconfig import credentials, kubeconfig
from bmk.datacenter.inventory import endpoint
from bmk.datacenter.load import load_datacenter
from bmk.journal import serial
from tests.admin_conf import admin_conf

PERMISSION = grants.Permission(
    "cp-1", ("52:54:00:77:00:11",), None, "S", {"serial": "D"}, None, "node-image", "0" * 64, "none"
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq0cZTYFPYmwE0XW5Vn4oOFnmJOqOpLB3bFjHrKj3Qb"


@pytest.fixture
def console(state):
    """What the lab kept of cp-1's console."""
    log = state / "lab" / "lab" / "machines" / "cp-1" / "console.log"
    log.parent.mkdir(parents=True)
    log.write_text("Linux version 6.12\n")
    return log


def test_console_prints_what_was_kept(cli, console):
    """Without a terminal, the newest part is printed and the command ends."""
    assert cli("console", "lab", "cp-1").out == "Linux version 6.12\n"


def test_console_shows_the_newest_part(cli, console):
    """Of a long console the newest 8 KiB are shown; --all shows everything."""
    console.write_text("x" * 10_000)
    assert len(cli("console", "lab", "cp-1").out) == 8192
    assert len(cli("console", "lab", "cp-1", "--all").out) == 10_000


def test_console_is_followed(console):
    """--follow prints what the machine says from then on, also when the log begins anew, until Ctrl-C."""
    command = [sys.executable, "-m", "bmk", "console", "lab", "cp-1", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "Linux version 6.12\n"
            with console.open("a") as log:
                log.write("login:\n")
            assert process.stdout.readline() == "login:\n"
            console.write_text("SeaBIOS\n")
            assert process.stdout.readline() == "SeaBIOS\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_console_of_a_machine_that_never_ran(cli, state):
    """There is nothing to show, and what to type is said."""
    said = cli("console", "lab", "cp-1")
    assert (said.code, "bmk power on lab cp-1" in said.err) == (6, True)


def test_console_text_is_plain():
    """Escapes, control characters, rewritten lines and broken bytes are no part of what people read."""
    text = "\x1b[2J\x1b[01;01HBooting\rBooting...\r\n\x1b(B\x00\x07[\x1b[32m  OK  \x1b[0m] Started sshd\r\n\r\n\ufffdx"
    assert serial.plain(text) == ["Booting", "Booting...", "[  OK  ] Started sshd", "x"]


def test_ssh_refuses_a_host_without_a_pinned_key(cli, journal):
    """No key was pinned: nothing is trusted on first use."""
    said = cli("ssh", "lab", "cp-1")
    assert (said.code, "no pinned key" in said.err) == (6, True)


def test_ssh_accepts_the_pinned_key_only(state, journal):
    """OpenSSH gets our key and our pins, quoted, and the command's own dashes untouched."""
    journal.record("cp-1", "host_keys", [KEY])
    dc = load_datacenter("lab")
    known_hosts = _pinned(dc, "cp-1", "lab")
    assert known_hosts.read_text() == f"cp-1,10.77.0.11 {KEY}\n"
    command = ssh_command(dc, dc.hosts["cp-1"], known_hosts, ("journalctl", "-u", "kubelet"))
    assert f"UserKnownHostsFile={known_hosts}" in command
    assert "StrictHostKeyChecking=yes" in command
    assert command[-6:] == ["-l", "root", "10.77.0.11", "journalctl", "-u", "kubelet"]


def test_ssh_passes_options_of_the_command(cli, journal):
    """What follows HOST is not bmk's, also when it looks like an option: without a pin it is never run."""
    assert cli("ssh", "lab", "cp-1", "ls", "--help").code == 6


def test_kubeconfig_is_printed_and_private(cli, state):
    """The stored file comes on stdout, whole; its mode is corrected when it was too wide."""
    file = state / "lab" / "kubeconfig" / "lab"
    text = kubeconfig("lab", endpoint(load_datacenter("lab"), "lab"), credentials(admin_conf()))
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(0o644)
    assert cli("kubeconfig", "lab").out == text
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli("kubeconfig", "lab", "--path").out == f"{file}\n"


def test_a_kubeconfig_that_is_not_ours_is_not_given_out(cli, state):
    """What an earlier bmk copied from a host may name a command: it is fetched anew, or there is none."""
    file = state / "lab" / "kubeconfig" / "lab"
    file.parent.mkdir(parents=True)
    file.write_text(admin_conf(exec={"command": "/bin/sh"}))
    said = cli("kubeconfig", "lab")
    assert (said.code, said.out) == (6, "")


def test_kubeconfig_of_no_cluster(cli, state):
    """Before the cluster exists the next command is told; unknown names are corrected."""
    said = cli("kubeconfig", "lab")
    assert (said.code, "next: bmk provision lab" in said.err) == (6, True)
    assert cli("kubeconfig", "lab", "labb").code == 3


@pytest.fixture
def grant(journal):
    return grants.open_grant(journal, PERMISSION, time.time())


def listed(cli, *args: str) -> list[dict]:
    return json.loads(cli("grant", "list", "lab", "-o", "json", *args).out)


def test_open_grants_are_listed(cli, grant):
    """What may be installed now: host, state, disk and when it ends."""
    (row,) = listed(cli)
    assert (row["host"], row["state"], row["disk"], row["ends"]) == ("cp-1", "open", "serial D", "in 60 min")


def test_a_revoked_grant_is_not_listed_as_open(cli, grant, journal):
    """Revoked at once; then only --all shows it, and a second revoke is refused."""
    assert cli("grant", "revoke", "lab", "cp-1").code == 0
    assert grants.current(journal, "cp-1", time.time()) is None
    assert listed(cli) == []
    assert [row["state"] for row in listed(cli, "cp-1", "--all")] == ["revoked"]
    assert cli("grant", "revoke", "lab", "cp-1").code == 6


def test_revoking_a_claimed_grant_asks_first(cli, grant, journal):
    """A claimed grant is asked about: exit code 8 without a terminal, done with --yes."""
    grants.claim(journal, grant.id, "t" * 43, grants.Taken("10.77.0.11", "{}", "{}"), time.time())
    assert cli("grant", "revoke", "lab", "cp-1").code == 8
    assert grants.current(journal, "cp-1", time.time()) is not None
    assert cli("grant", "revoke", "lab", "cp-1", "--yes").code == 0


def test_without_a_journal_nothing_may_be_installed(cli, state):
    """No journal is no grant, and asking makes none."""
    said = cli("grant", "list", "lab")
    assert (said.code, "no host may be installed now" in said.err) == (0, True)
    assert not state.exists()


@pytest.mark.parametrize("command", [["console"], ["ssh"], ["grant", "list"], ["grant", "revoke"]])
def test_an_unknown_host_is_a_wrong_configuration(cli, state, command):
    """A name that is not there ends with exit code 3 and the nearest name."""
    said = cli(*command, "lab", "cp1")
    assert (said.code, "did you mean 'cp-1'?" in said.err) == (3, True)
