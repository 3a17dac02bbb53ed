"""lab-ha, killed at random: the same command finishes, every node runs what it is asked to, nothing drifted.

scripts/test kills. BMK_KILLS is how many (50), BMK_KILLS_SEED what they are drawn from: the seed that a campaign prints
draws the same kills again. A kill hits a run that makes the lab anew with nothing known of it (fresh), makes its
machines anew with all that was known of the old ones (kept), or installs a worker of a living cluster again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from random import Random

import pytest

from tests.containers.kills.victims import KINDS, kill
from tests.lab import Lab, ready, running

pytestmark = pytest.mark.containers
COUNT = int(os.environ.get("BMK_KILLS", "50"))
SEED = os.environ.get("BMK_KILLS_SEED") or str(time.time_ns())
BEGINNINGS = ("fresh", "kept", "reinstall", "reinstall")
SECONDS = {"fresh": 240.0, "kept": 240.0, "reinstall": 120.0}  # of a run that nobody kills; learned anew as runs end
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("lab-ha", "lab-ha", tmp_path_factory.mktemp("kills"), own_cache=True) as lab:
        yield lab


@pytest.mark.parametrize("number", range(COUNT))
def test_a_killed_run_is_finished_by_the_same_command(
    lab: Lab, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is killed at whatever moment: the command that was typed ends well when it is typed again."""
    random, killed = Random(f"{SEED}/{number}"), ""
    beginning = BEGINNINGS[number % len(BEGINNINGS)]
    while not killed:  # a moment at which the run was done already kills nobody: it is drawn again
        command = begin(lab, beginning, random)
        moment, victim = random.uniform(0, SECONDS[beginning]), random.choice(KINDS)
        began = time.monotonic()
        killed = killed_run(lab, command, moment, (victim, random))
        if not killed:
            SECONDS[beginning] = time.monotonic() - began
    with capsys.disabled():
        print(f"\nseed {SEED}, kill {number}, {beginning}: after {moment:.0f} s: {killed}")  # noqa: T201
    lab.bmk(*command)
    works(lab)


def begin(lab: Lab, beginning: str, random: Random) -> tuple[str, ...]:
    """The world in which a run begins, and the run: what is typed, and typed again."""
    if beginning == "reinstall":
        worker = random.choice(("worker-1", "worker-2"))
        lab.bmk("provision", "--yes")
        return ("reinstall", worker, "--yes")
    lab.bmk("lab down", "--delete", code=None)
    if beginning == "fresh":
        shutil.rmtree(lab.state / lab.name, ignore_errors=True)
    lab.bmk("lab up")
    return ("provision", "--yes")


def killed_run(lab: Lab, command: tuple[str, ...], moment: float, whom: tuple[str, Random]) -> str:
    """Run it, and kill then or, when there is no such victim then, as soon as there is one. "" when it ends before."""
    victim, random = whom
    supervisor = json.loads((lab.state / lab.name / "lab/supervisor.json").read_text())["pid"]
    process, end, killed = lab.start(*command), time.monotonic() + moment, ""
    while not killed and process.poll() is None:
        if time.monotonic() >= end:
            killed = kill(victim, process.pid, supervisor, random)
        time.sleep(0.1)
    try:
        process.wait(1800)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return killed


def works(lab: Lab) -> None:
    """Nothing is planned, nothing drifted, all nodes are Ready, and the API reaches each kubelet."""
    lab.bmk("plan")
    lab.bmk("drift")
    nodes = lab.nodes()
    assert {name for name, node in nodes.items() if ready(node)} == {"cp-1", "cp-2", "cp-3", "worker-1", "worker-2"}
    pods = json.loads(lab.on("cp-1", f"{KUBECTL} get pod -l k8s-app=kube-proxy -o json"))["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(nodes)
    programs = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["command"][0] for pod in pods}
    asked = [f"{KUBECTL} exec {name} -- {program} --version" for name, program in programs.items()]
    asked += [f"{KUBECTL} logs --tail 1 {name} >/dev/null" for name in programs]
    assert lab.on("cp-1", " && ".join(asked)).count("Kubernetes v") == len(nodes)
