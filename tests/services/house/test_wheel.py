"""The wheel carries all that bmk needs: used far from any checkout, it does what the checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[3]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

Bmk = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bmk(tmp_path_factory: pytest.TempPathFactory) -> Bmk:
    """`bmk` of a wheel that was built and installed just now, in an empty directory, without any network."""
    place = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(place), str(ROOT)]
    subprocess.run([*PIP, *build], check=True)
    (wheel,) = place.glob("bmk-*.whl")
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", str(place / "site"), str(wheel)], check=True
    )
    room = place / "room"
    room.mkdir()
    places = {"BMK_STATE_DIR": str(place / "state"), "BMK_CACHE_DIR": str(place / "cache")}
    env = {**os.environ, **places, "PYTHONPATH": str(place / "site"), "NO_COLOR": "1"}

    def run(*arguments: str, program: tuple[str, ...] = ("-m", "bmk")) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *program, *arguments]
        return subprocess.run(command, env=env, cwd=room, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_a_data_center_is_begun_checked_and_planned(bmk: Bmk) -> None:
    """`init`, `validate`, `inventory` and `plan` need nothing of a checkout; a plan has the digest of roles in it."""
    assert str(ROOT) not in bmk("import bmk; print(bmk.__file__)", program=("-c",)).stdout
    for arguments in (("init", "par"), ("validate", "--write", "par"), ("inventory", "par", "--list")):
        done = bmk(*arguments)
        assert done.returncode == 0, done.stderr
    planned = bmk("plan", "par")
    assert planned.returncode == 2, planned.stderr
    assert "2 hosts to change, 2 disks to wipe" in planned.stdout


PLAY = """
import asyncio
from pathlib import Path
from bmk.ansible.runner import ConvergeRequest, converge
from bmk.datacenter.inventory import ansible_inventory
from bmk.datacenter.load import load_datacenter
inventory = ansible_inventory(load_datacenter("lab"), {}, {})
inventory["_meta"]["hostvars"]["cp-1"] |= {"ansible_host": "127.0.0.1", "ansible_port": 1}
for playbook in ("configure.yml", "init.yml"):
    result = asyncio.run(converge(ConvergeRequest(playbook, ("cp-1",), inventory, Path("runs")), lambda event: None))
    assert result["cp-1"].unreachable, (playbook, result)
"""


def test_playbooks_find_their_roles_and_modules(bmk: Bmk) -> None:
    """Ansible reads the wheel's playbooks to their end and gets as far as a host that does not answer."""
    done = bmk(PLAY, program=("-c",))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_bmk_ships_is_in_it(bmk: Bmk) -> None:
    """Data centers of the lab are found, and the lock knows what is pinned and still missing here."""
    shipped = bmk("validate", "lab")
    assert shipped.returncode == 0, shipped.stderr
    missing = bmk("artifacts", "verify")
    assert missing.returncode == 6, missing.stderr
    assert "kubeadm" in missing.stderr
