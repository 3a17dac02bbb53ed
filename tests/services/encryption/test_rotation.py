"""`bmk certs rotate-encryption-key` as it is typed, against a real etcd and API server, with clients at work."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from bmk.journal import Journal
from bmk.journal.records import KeyRotationOrder
from tests.services.certificates.conftest import ControlPlane, Racks, until
from tests.services.encryption.conftest import ETCD, SECRETS, SECRETS_OF, Clients, cmdlines, keys, under

pytestmark = pytest.mark.services
REASON = "the cluster of a test has no backups"


def rotate(racks: Racks, *words: str) -> subprocess.CompletedProcess[str]:
    return racks.bmk("certs", "rotate-encryption-key", str(racks.at / "dc.yml"), *words)


def read_back(clients: Clients) -> None:
    """Every write that was confirmed is there; nothing but the restarts of the one API server was ever in the way."""
    until(lambda: clients.ask("GET", "/version")[0] == 200, "the API server is away")
    clients.over.set()
    time.sleep(0.5)  # a write that is on its way
    written = dict(clients.acknowledged)
    for name, value in written.items():
        code, said = clients.ask("GET", f"{SECRETS_OF}/{name}")
        assert code == 200, said
        assert int(base64_value(said)) >= int(value)
    assert written
    assert clients.lists
    assert clients.odd == []


def base64_value(said: dict[str, dict[str, str]]) -> str:
    return base64.b64decode(said["data"]["v"]).decode()


def gaps(moments: list[float]) -> int:
    """How often it was away: moments that are further apart are of another time."""
    ordered = sorted(moments)
    return sum(1 for before, now in zip([-99.0, *ordered], ordered, strict=False) if now - before > 3)


def test_nothing_is_begun_without_a_backup(racks: Racks, plane: ControlPlane) -> None:
    """Planned or done: refused, with the next command; and nothing is on record or on the host."""
    before = keys(racks)
    for words in (("--plan",), ("--yes",)):
        done = rotate(racks, "c", *words)
        assert done.returncode in (4, 6), done.stdout + done.stderr
        assert "no proven backup" in done.stderr
        assert "bmk backup" in done.stderr
    assert keys(racks) == before


def test_the_key_is_replaced_under_load(racks: Racks, plane: ControlPlane, clients: Clients) -> None:
    """Planned (2), done (0): everything in etcd is under the new key, and its past is forgotten. Owner and mode of the
    file stay. Neither key is in an argument of a process, in the journal, in a log or anywhere on the deployer.
    """
    (old,), before = keys(racks), json.loads(racks.sh(f"{ETCD} get / -w json"))["header"]["revision"]
    assert set(under(racks)) == {"key1"}
    until(lambda: bool(clients.acknowledged) and clients.lists > 0, "clients are at work")
    plan = rotate(racks, "c", "--plan", "--accept", REASON)
    assert plan.returncode == 2, plan.stdout + plan.stderr
    for words in ("keys key1, key2", "keys key2, key1", "start kube-apiserver again", "rewrite secrets"):
        assert words in plan.stdout
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            seen.extend(cmdlines())

    watching = threading.Thread(target=watch)
    watching.start()
    done = rotate(racks, "c", "--yes", "--accept", REASON)
    stop.set()
    watching.join()
    assert done.returncode == 0, done.stdout + done.stderr
    (new,) = keys(racks)
    assert new["name"] == "key2"
    assert new["secret"] != old["secret"]
    count = under(racks)
    assert set(count) == {"key2"}
    assert count["key2"] >= SECRETS
    info = (racks.root(1) / "etc/kubernetes/bmk/encryption.yaml").stat()
    assert (info.st_gid, stat.S_IMODE(info.st_mode)) == (12345, 0o640)
    past = racks.sh(f"{ETCD} get / --rev {before} 2>&1 || :")
    assert "compacted" in past
    read_back(clients)
    assert gaps(clients.away) == 3, "one for each restart"
    journal = Journal.open(racks.state)
    texts = [json.dumps([str(e) for e in journal.since()]), done.stdout, done.stderr, "\n".join(seen)]
    texts += [p.read_text(errors="replace") for p in racks.state.rglob("*") if p.is_file()]
    texts += [str(row) for table in ("records", "runs") for row in journal.query(f"SELECT * FROM {table}")]
    assert any("kube-apiserver" in text for text in seen)
    for key in (old, new):
        assert not [text for text in texts if key["secret"] in text]


def test_killed_anywhere_the_same_command_goes_on(racks: Racks, plane: ControlPlane, clients: Clients) -> None:
    """Six kills at random moments; one of them may come after all is done."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    (old,) = keys(racks)
    argv = [sys.executable, "-m", "bmk", "certs", "rotate-encryption-key", str(racks.at / "dc.yml"), "c", "--yes"]
    until(lambda: bool(clients.acknowledged), "clients are at work")
    for _ in range(6):
        process = subprocess.Popen([*argv, "--accept", REASON], env=racks.env, stdout=-3, stderr=-3)
        timer = threading.Timer(chance.uniform(1.5, 9), os.kill, (process.pid, signal.SIGKILL))
        timer.start()
        process.wait(200)
        timer.cancel()
    if KeyRotationOrder.load(Journal.open(racks.state), "c") is not None:
        done = rotate(racks, "c", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
    (new,) = keys(racks)
    assert int(new["name"].removeprefix("key")) > int(old["name"].removeprefix("key"))
    assert set(under(racks)) == {new["name"]}
    read_back(clients)


def test_what_is_not_encrypted_at_all_is_written_anew(racks: Racks, plane: ControlPlane) -> None:
    """A secret from before the encryption; and one that no client may change stays what it is."""
    file = racks.root(1) / "etc/kubernetes/bmk/encryption.yaml"
    text = file.read_text()
    plain = json.loads(text)
    plain["resources"][0]["providers"].reverse()
    file.write_text(json.dumps(plain))
    begin_anew(racks, plane)
    plane.kubectl("create secret generic plain -n default --from-literal=v=1")
    file.write_text(text)
    begin_anew(racks, plane)
    assert under(racks)[""] == 1
    done = rotate(racks, "c", "--yes", "--accept", REASON)
    assert done.returncode == 0, done.stdout + done.stderr
    (new,) = keys(racks)
    assert set(under(racks)) == {new["name"]}
    assert plane.kubectl("get secret plain fixed -n default -o name").split() == ["secret/plain", "secret/fixed"]


def begin_anew(racks: Racks, plane: ControlPlane) -> None:
    """Somebody ends the API server, and it comes back."""
    before = racks.sh("stat -c %Y.%y /opt/kube-apiserver.began")
    racks.sh("kill $(pidof kube-apiserver)")
    until(lambda: racks.sh("stat -c %Y.%y /opt/kube-apiserver.began") != before, "it was not started again")
    until(lambda: plane.kubectl("get --raw /readyz", check=False) == "ok", "the API does not come up")
    until(lambda: plane.kubectl("get secrets -n default -o name", check=False) != "", "it knows no roles")
