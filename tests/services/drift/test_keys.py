"""The deployer's key: locked, in an agent, and replaced on hosts that run a real sshd, killed on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.drift import hall
from tests.services.drift.conftest import COUNT, Office

pytestmark = pytest.mark.services


OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFClfUwc7LhqFS8UbBOqYFZBfPwYwbUH6cnPBBt7078V"


def bmk(office: Office, *words: str, agent: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, as a user types it; without an agent unless one is given."""
    env = {name: value for name, value in office.env.items() if name != "SSH_AUTH_SOCK"}
    env |= {"SSH_AUTH_SOCK": str(agent)} if agent else {}
    argv = [*office.inside, sys.executable, "-m", "bmk", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=180, check=False)


def rotate(office: Office, *words: str, agent: Path | None = None) -> subprocess.CompletedProcess[str]:
    return bmk(office, "keys", "rotate", str(office.at / "dc.yml"), *words, agent=agent)


def ssh(office: Office) -> Path:
    return office.at / "state/office/ssh"


def current(office: Office) -> str:
    return (ssh(office) / "id_ed25519.pub").read_text().split()[1]


def let_in(office: Office, number: int) -> list[str]:
    """Keys that a host lets in."""
    lines = (office.root(number) / "root/.ssh/authorized_keys").read_text().splitlines()
    return [word for line in lines for word in line.split() if word.startswith("AAAA")]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """An ssh agent without keys."""
    said = subprocess.run(
        ["ssh-agent", "-s", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True
    )
    pid = re.search(r"SSH_AGENT_PID=(\d+)", said.stdout)
    assert pid is not None
    yield tmp_path / "agent"
    os.kill(int(pid[1]), signal.SIGTERM)


def asked(office: Office, agent: Path) -> dict[str, list[str]]:
    """What keeps drift from asking n1, by host."""
    done = bmk(office, "drift", str(office.at / "dc.yml"), "--no-bmc", "--limit", "n1", "-o", "json", agent=agent)
    standings = json.loads(done.stdout)["standings"]
    return {s["name"]: [t["cause"] for t in s["troubles"]] for s in standings if s["name"] != "c"}


def add(agent: Path, key: Path) -> None:
    """Put a key into the agent; its passphrase is "open"."""
    helper = agent.with_name("askpass")
    helper.write_text("#!/bin/sh\necho open\n")
    helper.chmod(0o700)
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent), "SSH_ASKPASS": str(helper), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(key)], env=env, check=True, capture_output=True)


def test_every_host_has_the_new_key_and_only_that(office: Office) -> None:
    """One command: the new key opens every host from the deployer only, the old one none, and drift names neither."""
    before = current(office)
    done = rotate(office)
    assert done.returncode == 0, done.stderr
    assert current(office) != before
    assert [let_in(office, n) for n in range(1, COUNT + 1)] == [[current(office)]] * COUNT
    assert (office.root(1) / "root/.ssh/authorized_keys").read_text().startswith('from="10.77.200.1')
    assert sorted(p.name for p in ssh(office).iterdir()) == ["id_ed25519", "id_ed25519.pub"]
    assert not [
        f for s in office.document().values() for f in s["differences"] if f["item"].startswith("authorized_keys:")
    ]


@pytest.mark.parametrize("other", [OTHER, "ssh-ed25519 AAAAnone"], ids=["another machine", "no key at all"])
def test_a_host_that_is_not_done_keeps_the_old_key_alive(office: Office, other: str) -> None:
    """The old key counts until every host lets the new one in; a person may leave a host behind, by name.

    Meanwhile another key than the one that the rotation began with is refused.
    """
    before = current(office)
    office.drive("pin", keys={"n3": [other]})
    done = rotate(office)
    assert (done.returncode, current(office)) == (4, before)
    assert re.search(r"^n3: (another machine answers here|no key of this host is pinned)", done.stderr, re.MULTILINE)
    assert "next: bmk keys rotate" in done.stderr
    assert before in let_in(office, 1)
    assert bmk(office, "keys", "show", str(office.at / "dc.yml")).stderr.count("a rotation is under way") == 1
    another = rotate(office, "--to", str(ssh(office) / "id_ed25519.pub"))
    assert (another.returncode, "a rotation to another key is under way" in another.stderr) == (6, True)
    same = rotate(office, "--to", str(ssh(office) / "next/id_ed25519.pub"), "--without", "n3")
    assert same.returncode == 0, same.stderr
    assert let_in(office, 1) == [current(office)] != [before]
    assert let_in(office, 3) == [before]
    lines = (office.root(1) / "root/.ssh/authorized_keys").read_text().replace(hall.address(1), hall.address(3))
    (office.root(3) / "root/.ssh/authorized_keys").write_text(lines)
    office.drive("sign")


@pytest.mark.parametrize("line", [0, COUNT // 2, COUNT, COUNT + COUNT // 2])
def test_killed_anywhere_the_same_command_finishes(office: Office, line: int) -> None:
    """Killed with -9 after so many steps of hosts, no host is out of reach, and the same command finishes."""
    argv = [*office.inside, sys.executable, "-m", "bmk", "keys", "rotate", str(office.at / "dc.yml")]
    with subprocess.Popen(argv, env=office.env, stdout=-1, stderr=-1, text=True) as process:
        assert process.stderr is not None
        for _ in range(line):
            process.stderr.readline()
        process.kill()
    for number in range(1, COUNT + 1):
        key = (ssh(office) / "id_ed25519.pub") if (ssh(office) / "id_ed25519.pub").exists() else None
        assert key is None or key.read_text().split()[1] in let_in(office, number)
    done = rotate(office)
    assert done.returncode == 0, done.stderr
    assert [let_in(office, n) for n in range(1, COUNT + 1)] == [[current(office)]] * COUNT
    assert sorted(p.name for p in ssh(office).iterdir()) == ["id_ed25519", "id_ed25519.pub"]


def test_a_locked_key_needs_an_agent(office: Office, agent: Path) -> None:
    """Under a passphrase, who steals the state directory has no key; bmk says what to type, and works with an agent."""
    key = ssh(office) / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open", "-f", str(key)], check=True, capture_output=True)
    words = ("drift", str(office.at / "dc.yml"), "--no-bmc", "--limit", "n1")
    locked = bmk(office, *words)
    assert locked.returncode == 6, locked.stderr
    assert f"next: ssh-add {key}" in locked.stderr
    add(agent, key)
    assert asked(office, agent) == {"n1": []}
    done = rotate(office, agent=agent)
    assert done.returncode == 0, done.stderr


def test_the_private_half_may_live_in_an_agent_only(office: Office, agent: Path, tmp_path: Path) -> None:
    """With --to, the state directory has no private key at all, as with a token; drift logs in by the agent."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "open", "-f", str(tmp_path / "token")], check=True)
    refused = rotate(office, "--to", str(tmp_path / "token.pub"), agent=agent)
    assert refused.returncode == 6, refused.stderr
    add(agent, tmp_path / "token")
    done = rotate(office, "--to", str(tmp_path / "token.pub"), agent=agent)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in ssh(office).iterdir()] == ["id_ed25519.pub"]
    assert let_in(office, 1) == [(tmp_path / "token.pub").read_text().split()[1]]
    assert asked(office, agent) == {"n1": []}
