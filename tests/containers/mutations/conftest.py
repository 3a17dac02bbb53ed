"""molecule's whole sequence on a system container in place of a machine of Vagrant: seconds, and the same judges."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.lab.host.launcher import supervisor_pid
from bmk.lab.vagrant.machines import ssh_config
from bmk.paths import content_dir
from tests.lab import Lab, running

HOST = "worker-1"
PARTS = (".config", "molecule", "roles", "playbooks/filter_plugins")


@dataclass(frozen=True, slots=True)
class Bench:
    """A host that is there already, for molecule; each proof is of a copy of the project in which one thing differs."""

    lab: Lab
    scenario: Path  # molecule's own directory, where its state and the lab are

    def prove(self, project: Path, role: str) -> tuple[int, str]:
        """`molecule test` without making or ending machines: exit code, and what it said."""
        (self.scenario / "state.yml").write_text("created: true\nprepared: true\nconverged: false\ndriver: default\n")
        (self.scenario / "steps.jsonl").unlink(missing_ok=True)
        argv = [sys.executable, "-m", "molecule", "-c", str(project / ".config/molecule/config.yml")]
        argv += ["test", "--destroy=never", "-s", role]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**self.lab.env, "MOLECULE_EPHEMERAL_DIRECTORY": str(self.scenario), "PATH": path}
        done = subprocess.run(
            argv, cwd=project, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What molecule reads of this project, free to be changed."""
    for part in PARTS:
        shutil.copytree(content_dir() / part, tmp_path / part)
    (tmp_path / "bmk").symlink_to(content_dir() / "bmk")
    _in_containers(tmp_path / "molecule/dc.yml")
    scenario = tmp_path / "molecule/node_baseline/molecule.yml"  # a container's kernel does not start again
    scenario.write_text(scenario.read_text().replace("molecule_reboot: true", ""))
    return tmp_path


def _in_containers(dc: Path) -> None:
    dc.write_text(dc.read_text().replace("kind: vagrant", "kind: container"))


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    scenario = tmp_path_factory.mktemp("scenario")
    shutil.copytree(content_dir() / "molecule", scenario / "dc")
    _in_containers(scenario / "dc/dc.yml")
    state = scenario / "bmk"
    state.mkdir()
    with running("molecule", str(scenario / "dc/dc.yml"), state) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BMK_STATE_DIR", str(state))
        lab.bmk("lab up")
        lab.bmk("lab preseed", HOST)
        _way_in(lab)
        yield Bench(lab, scenario)


def _way_in(lab: Lab) -> None:
    """What `bmk.lab.vagrant up` writes for its machines; returns when the host lets us in."""
    pid = supervisor_pid(lab.name)
    assert pid is not None
    config = lab.state / lab.name / "ssh_config"
    config.write_text(ssh_config(load_datacenter(lab.dc), [HOST], pid))
    end = time.monotonic() + 120
    while (done := subprocess.run(["ssh", "-F", config, HOST, "true"], capture_output=True, check=False)).returncode:
        assert time.monotonic() < end, done.stderr.decode()
        time.sleep(0.5)
