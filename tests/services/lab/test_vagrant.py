"""Machines of Vagrant where something is missing: it is said before anything is made, and nothing stays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.artifacts.box import box_of
from bmk.artifacts.mirror import load_mirror
from bmk.errors import Exit
from bmk.lab.host.probe import why_no_kvm
from bmk.paths import cache_dir, content_dir

pytestmark = pytest.mark.services

DC = str(content_dir() / "molecule/dc.yml")
NOTHING = "/dev/null"  # no program: nobody may run it


@dataclass(frozen=True)
class Place:
    """Directories of its own for cache and state, and what is hidden there of the machine around."""

    cache: Path
    state: Path

    def up(self, hidden: dict[str, str], *before: str) -> tuple[int, str]:
        """`python -m bmk.lab.vagrant up` where each path of `hidden` is its value: exit code and what it said."""
        mounts = [f"mount --bind {there} {path}" for path, there in hidden.items()]
        return self._run([*mounts, *before, f'exec "{sys.executable}" -m bmk.lab.vagrant up {DC} worker-1'], {})

    def by_hand(self, *before: str, **settings: str) -> tuple[int, str]:
        """`vagrant validate`, which reads the Vagrantfile as `vagrant up` does. No machine is anywhere near."""
        return self._run([*before, f"cd {content_dir()}", "exec vagrant validate"], settings)

    def _run(self, script: list[str], settings: dict[str, str]) -> tuple[int, str]:
        argv = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
        known = {name: value for name, value in os.environ.items() if not name.startswith(("BMK_DEBIAN", "LIBVIRT"))}
        places = {"BMK_CACHE_DIR": str(self.cache), "BMK_STATE_DIR": str(self.state)}
        places["VAGRANT_DOTFILE_PATH"] = str(self.state / "vagrant")
        done = subprocess.run(
            [*argv, " && ".join(script)],
            env={**known, **places, **settings},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stderr

    @property
    def left(self) -> list[str]:
        """Directories of labs, and processes that have something to do with this place."""
        left = [str(path) for path in self.state.glob("*/lab")]
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended just now
                command = process.read_bytes().decode(errors="replace")
                left += [command] if str(self.state) in command else []
        return left


@pytest.fixture
def place(tmp_path: Path) -> Place:
    cache, state = tmp_path / "cache", tmp_path / "state"
    cache.mkdir()
    for part in ("mirror", "registry"):
        (cache / part).symlink_to(cache_dir() / part)
    return Place(cache, state)


@pytest.mark.parametrize(
    ("path", "package"),
    [("/usr/bin/vagrant", "vagrant"), ("/usr/sbin/libvirtd", "libvirt-daemon"), ("/usr/bin/qemu-img", "qemu-utils")],
)
def test_a_program_that_is_missing_is_named(place: Place, path: str, package: str) -> None:
    """With the command that installs it; nothing was started."""
    code, said = place.up({path: NOTHING})
    assert code == Exit.REFUSED, said
    assert f"not installed: {Path(path).name}" in said
    assert f"next: scripts/setup, or as root: apt-get install {package}" in said
    assert not place.left


def test_a_missing_plug_in_is_named(place: Place, tmp_path: Path) -> None:
    """Vagrant alone makes no machines of libvirt."""
    empty = tmp_path / "empty"
    empty.mkdir()
    code, said = place.up({"/usr/share/vagrant-plugins/plugins.d": str(empty)})
    assert code == Exit.REFUSED, said
    assert "Vagrant has no libvirt provider" in said
    assert "apt-get install vagrant-libvirt" in said
    assert not place.left


@pytest.mark.parametrize(("full", "variable"), [("cache", "BMK_CACHE_DIR"), ("state", "BMK_STATE_DIR")])
def test_a_full_disk_is_seen_beforehand(place: Place, full: str, variable: str) -> None:
    """It says which directory, how much is there and needed, and nothing is written."""
    directory = getattr(place, full)
    directory.mkdir(exist_ok=True)
    code, said = place.up({}, f"mount -t tmpfs -o size=64m tmpfs {directory}")
    assert code == Exit.REFUSED, said
    assert f"{directory}" in said.partition("no room")[0]
    assert "0 GiB are free, 6 GiB are needed" in said
    assert variable in said.partition("next:")[2]
    assert not place.left


def put_box(place: Place, text: bytes, checksum: str) -> Path:
    """A box in the place's cache, which no machine is ever made of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BMK_CACHE_DIR", str(place.cache))
        box = box_of(load_mirror())
    box.file.parent.mkdir(parents=True)
    box.file.write_bytes(text)
    box.key.write_text("no key\n")
    box.catalog.write_text(json.dumps({"versions": [{"version": box.version, "providers": [{"checksum": checksum}]}]}))
    return box.file


def test_a_box_with_another_digest_makes_no_machine(place: Place) -> None:
    """A box that is not what its catalog says is refused by name, with how to make it anew."""
    file = put_box(place, b"somebody else's", "0" * 64)
    code, said = place.up({})
    assert code == Exit.REFUSED, said
    assert f"{file}: the box bmk/node is not what was pinned" in said
    assert f"rm -r {file.parent}" in said
    assert not place.left


def test_a_libvirtd_that_does_not_start_leaves_nothing(place: Place) -> None:
    """The lab that was half up is gone, with all its processes and directories."""
    put_box(place, b"", hashlib.sha256(b"").hexdigest())
    code, said = place.up({"/usr/sbin/libvirtd": "/bin/false"})
    assert code not in (Exit.OK, Exit.BUG), said
    assert "the lab did not come up" in said
    assert "nothing of them is left" in said
    assert not place.left


def test_by_hand_a_missing_box_and_a_missing_daemon_are_named(place: Place) -> None:
    """In the order in which a person needs them, each with the command to type."""
    no_daemon = "! test -d /run/libvirt || mount -t tmpfs tmpfs /run/libvirt"
    code, said = place.by_hand(no_daemon)
    assert (code, said) == (1, "there is no box yet\n  next: .venv/bin/bmk image build --format vagrant\n")
    put_box(place, b"", "0" * 64)
    code, said = place.by_hand(no_daemon)
    assert code == 1
    assert said == "no libvirtd listens on this machine\n  next: apt-get install libvirt-daemon-system\n"


def test_by_hand_the_deployer_gets_packages_where_this_machine_does(place: Place) -> None:
    """Where apt has no source here, the mirror has to be said; no address is taken that nobody chose."""
    put_box(place, b"", "0" * 64)
    bare = "mount -t tmpfs tmpfs /etc/apt"
    daemon = {"LIBVIRT_DEFAULT_URI": "qemu:///system", "BMK_VAGRANT_DRIVER": "qemu"}
    code, said = place.by_hand(bare, **daemon)
    assert code == 1
    assert said == "no Debian mirror is known for the deployer\n  next: BMK_DEBIAN_MIRROR=URI vagrant up\n"
    code, said = place.by_hand(bare, BMK_DEBIAN_MIRROR="http://mirror.example/debian", **daemon)
    assert (code, said) == (0, "")


def test_by_hand_machines_have_kvm_where_it_works(place: Place) -> None:
    """As the lab finds out; where it does not, that and the reason are said. Who names a driver gets it, unasked."""
    put_box(place, b"", "0" * 64)
    there = {"LIBVIRT_DEFAULT_URI": "qemu:///system", "BMK_DEBIAN_MIRROR": "http://mirror.example/debian"}
    why = why_no_kvm()
    code, said = place.by_hand(**there)
    assert (code, said) == (0, f"no KVM ({why}): machines are emulated\n" if why else "")
    code, said = place.by_hand(**there, BMK_VAGRANT_DRIVER="kvm")
    assert (code, said) == (0, "")
