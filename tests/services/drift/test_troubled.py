"""Hosts that cannot be asked: each is unknown with its cause, and the run ends on time for all others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmk.ssh import make_key
from tests.services.drift.conftest import COUNT, Office
from tests.services.drift.hall import address

pytestmark = pytest.mark.services
DEADLINE = 15.0  # seconds for one host

HANGS = "#!/bin/sh\nexec sleep 3600\n"
GARBAGE = "#!/bin/sh\nhead -c 3000 /dev/urandom\n"
FLOODS = "#!/bin/sh\nexec yes nonsense\n"
COMPLAINS = "#!/bin/sh\nexec yes nonsense >&2\n"


def shell(text: str) -> Callable[[Path], None]:
    """What answers instead of the shell: sshd's ForceCommand is in the host's own /etc."""

    def plant(root: Path) -> None:
        program = root / "usr/local/bin/answer"
        program.write_text(text)
        program.chmod(0o755)
        passwd = root / "etc/passwd"
        passwd.write_text(passwd.read_text().replace("root:x:0:0:root:/root:/bin/bash", PASSWD))

    return plant


PASSWD = "root:x:0:0:root:/root:/usr/local/bin/answer"


@contextmanager
def full_disk(office: Office, number: int) -> Iterator[None]:
    """Where this host keeps bmk's records, a small file system without a byte left."""
    at = "/var/lib/bmk"
    fill = f"mount -t tmpfs -o size=64k,nr_inodes=16 tmpfs {at}; ! dd if=/dev/zero of={at}/fill bs=4k 2>/dev/null"
    subprocess.run([*office.within(number), "sh", "-ec", fill], check=True)
    yield
    subprocess.run([*office.within(number), "umount", at], check=True)


@contextmanager
def no_python(office: Office, number: int) -> Iterator[None]:
    """What is called python3 on this host is nothing that can be run."""
    program = str(Path("/usr/bin/python3").resolve())
    subprocess.run([*office.within(number), "mount", "--bind", "/dev/null", program], check=True)
    yield
    subprocess.run([*office.within(number), "umount", program], check=True)


def test_each_trouble_has_its_cause_and_holds_nobody_up(office: Office) -> None:
    """Silent, hanging, garbage, a flood, a refused or another key, no python, a full disk: unknown, in time, exit 4."""
    shell(HANGS)(office.root(2))
    shell(GARBAGE)(office.root(3))
    shell(FLOODS)(office.root(4))
    shell(COMPLAINS)(office.root(10))
    (office.root(5) / "root/.ssh/authorized_keys").write_text("")
    (office.root(6) / "key").unlink()
    make_key(office.root(6) / "key", "another machine")  # sshd reads it for each connection
    office.stop(8)
    with full_disk(office, 9), no_python(office, 7):
        began = time.monotonic()
        done = office.drift("--deadline", str(DEADLINE), "-o", "json")
        seconds = time.monotonic() - began
    found = {s["name"]: s for s in json.loads(done.stdout)["standings"]}
    causes = {name: s["troubles"][0]["cause"] for name, s in found.items() if s["troubles"]}
    assert causes == {
        "n2": "hangs",
        "n3": "garbage",
        "n4": "garbage",
        "n5": "refused",
        "n6": "wrong-key",
        "n7": "no-python",
        "n8": "silent",
        "n9": "disk-full",
        "n10": "garbage",
        "c": "api",
    }
    assert done.returncode == 4
    assert all(s["state"] == "unknown" for name, s in found.items() if name in causes)
    assert all(s["troubles"][0]["next"] for name, s in found.items() if name in causes)
    assert {name for name, s in found.items() if s["state"] == "clean"} == {
        "n1",
        *(f"n{n}" for n in range(11, COUNT + 1)),
    }
    assert seconds < DEADLINE + 30, "the run waits for nobody longer than for one deadline"


def test_evidence_of_hardening_comes_the_same_way(office: Office) -> None:
    """Hosts in trouble are silent for the report, each with its reason in time; the evidence of the others is whole."""
    seen = office.drive("evidence", hosts=["n2", "n3", "n5", "n6", "n7", "n8", "n10", "n11"], seconds=DEADLINE)
    assert "no whole answer" in seen["n2"]
    assert "cannot be read" in seen["n3"]
    assert "uthentication" in seen["n5"]
    assert "host key" in seen["n6"].lower()
    assert seen["n8"]
    assert "cannot be read" in seen["n10"]
    assert seen["n7"] == seen["n11"] == "evidence of its kernel"


def test_one_command_is_bounded_in_size_and_time(office: Office) -> None:
    """A host that is silent or goes on talking, on either stream, is unreachable; nothing more is kept of it."""
    assert office.drive("run", hosts=["n2", "n4", "n10", "n11"], seconds=5) == {
        "n2": "true did not end in 5 s",
        "n4": "true says too much",
        "n10": "true says too much",
        "n11": "ended with 0",
    }


def test_nobody_answers(office: Office) -> None:
    """All that was asked is unknown: exit code 5."""
    done = office.drift("--limit", "n8", "-o", "json")
    assert done.returncode in (4, 5)
    code = subprocess.run(
        [*office.inside, sys.executable, "-c", f"import socket; socket.create_connection(('{address(8)}', 22), 3)"],
        capture_output=True, check=False,
    ).returncode  # fmt: skip
    assert code != 0
