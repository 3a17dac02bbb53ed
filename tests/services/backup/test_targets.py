"""One contract for all places that keep backups, each tried with its real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmk.backup.targets import KINDS
from bmk.errors import BackupRefused
from tests.services.backup.places import PLACES, Place, directory

pytestmark = pytest.mark.services

NAME = "par.apps.20261130t170000z-00000001.age"
LARGE = os.urandom(40 << 20)  # more than two parts of a bucket


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with PLACES[request.param](tmp_path) as found:
        yield found


def _write(place: Place, name: str, content: bytes, *, commit: bool = True) -> None:
    with place.target.begin(name) as upload:
        for at in range(0, len(content), 1 << 16):
            upload.write(content[at : at + (1 << 16)])
        if commit:
            upload.commit()


def _read(place: Place, name: str) -> bytes:
    with place.target.open(name) as source:
        return b"".join(iter(lambda: source.read(1 << 16), b""))


def test_there_is_a_place_to_try_for_each_kind() -> None:
    """A kind that is added is found, and has to be tried here."""
    assert {kind.name for kind in KINDS} == set(PLACES)


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_what_was_written_is_read(place: Place, content: bytes) -> None:
    """Byte for byte, of any size, and listed by its name."""
    _write(place, NAME, content)
    assert _read(place, NAME) == content
    assert place.target.names("par.apps.") == [NAME]
    assert place.target.names("par.other.") == []


def test_without_a_commit_nothing_is_there(place: Place) -> None:
    """Neither while it is written nor after it was given up, and nothing of it is left to sweep."""
    with place.target.begin(NAME) as upload:
        upload.write(LARGE)
        assert place.target.names("par.apps.") == []
    assert place.target.names("par.apps.") == []
    assert place.target.sweep("par.apps.") == 0


def test_an_error_in_the_middle_leaves_nothing(place: Place) -> None:
    """What was raised comes through as it is."""
    with pytest.raises(ZeroDivisionError), place.target.begin(NAME) as upload:
        assert 1 / (upload.write(LARGE) - len(LARGE))
    assert place.target.names("par.apps.") == []


def test_no_backup_takes_the_place_of_another(place: Place) -> None:
    """A name that is taken is refused, and what was there stays."""
    _write(place, NAME, b"first")
    with pytest.raises(BackupRefused) as refusal:
        _write(place, NAME, b"second")
    assert refusal.value.reason == "target"
    assert _read(place, NAME) == b"first"


def test_what_is_not_there_is_named(place: Place) -> None:
    """A backup that somebody removed is missing, which is not the same as a place that does not answer."""
    _write(place, NAME, b"x")
    with pytest.raises(BackupRefused) as refusal:
        _read(place, NAME.replace("apps", "gone"))
    assert refusal.value.reason == "missing"


def test_removing_twice_is_fine(place: Place) -> None:
    """A run that was killed between removing and remembering does it again."""
    _write(place, NAME, b"x")
    place.target.remove(NAME)
    place.target.remove(NAME)
    assert place.target.names("par.apps.") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from bmk.backup.targets import open_target
from bmk.datacenter.backup_spec import BackupTargetSpec
from tests.services.backup.places import access
target = open_target(BackupTargetSpec.model_validate_json(sys.argv[1]), access(Path(sys.argv[2])))
with target.begin(sys.argv[3]) as upload:
    upload.write(os.urandom(40 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_no_backup(place: Place, tmp_path: Path) -> None:
    """After kill -9 nothing is listed, the next run sweeps what is left, and the name can be used."""
    argv = [sys.executable, "-c", KILLED, json.dumps(place.spec), str(tmp_path), NAME]
    assert subprocess.run(argv, check=False, cwd=Path(__file__).parents[3]).returncode == -9
    assert place.target.names("par.apps.") == []
    assert place.target.sweep("par.other.") == 0, "the files of another cluster are not swept"
    assert place.target.sweep("par.apps.") == 1
    assert place.target.sweep("par.apps.") == 0
    _write(place, NAME, b"x")


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A directory whose file system is not mounted is not made."""
    with directory(tmp_path) as place:
        place.files.rmdir()
        with pytest.raises(BackupRefused) as refusal:
            _write(place, NAME, b"x")
    assert refusal.value.reason == "target"
    assert not place.files.exists()
