"""From where the deployer's key opens hosts, and what OpenSSH is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bmk.datacenter.credentials import login_line, login_sources, ssh_flags, ssh_settings


def test_a_deployer_with_several_addresses_gets_in(room) -> None:
    """Its own address, those that the file adds, and the one that this machine's routes choose for the host."""
    dc = room.edit("{address: 10.1.0.2}", "{address: 10.1.0.2, ssh_from: [10.9.0.0/24, 10.8.0.7]}").load()
    host = next(iter(dc.hosts.values()))
    sources = login_sources(dc, host)
    assert sources[:3] == ("10.1.0.2", "10.9.0.0/24", "10.8.0.7/32")
    assert len(sources) <= 4
    assert login_line("ssh-ed25519 A bmk", sources[:2]) == 'from="10.1.0.2,10.9.0.0/24" ssh-ed25519 A bmk'


@pytest.mark.parametrize("form", ["arguments", "a file"])
@pytest.mark.parametrize("name", ["known_hosts", "with a space/known_hosts"])
def test_openssh_reads_nothing_of_the_users(tmp_path: Path, name: str, form: str) -> None:
    """No configuration but ours, no forwarded agent, no key but ours, no host key that was not pinned."""
    known, config = tmp_path / name, tmp_path / "config"
    config.write_text("\n".join(ssh_settings(known.with_name("key"), known)))
    flags = ssh_flags(known) if form == "arguments" else ["-F", str(config)]
    said = subprocess.run(["ssh", *flags, "-v", "-G", "host"], capture_output=True, text=True, check=True)
    settings = dict(line.split(" ", 1) for line in said.stdout.splitlines() if " " in line)
    assert {word for word in said.stderr.split() if word.startswith("/etc/ssh")} == set()
    assert form == "arguments" or settings["identityfile"] == str(known.with_name("key"))
    wanted = {"forwardagent": "no", "identitiesonly": "yes", "stricthostkeychecking": "true", "updatehostkeys": "false"}
    assert {key: settings[key] for key in wanted} == wanted
    assert settings["userknownhostsfile"] == str(known)
    assert "proxycommand" not in settings
