"""A worker and then a control plane that belong to somebody else: nothing that they say runs on the deployer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.containers.drift import taken
from tests.lab import Lab

pytestmark = pytest.mark.containers


@pytest.fixture(autouse=True)
def unhurt(marker: Path) -> None:
    """Each test begins without the marker of another."""
    marker.unlink(missing_ok=True)


def test_names_and_texts_of_a_worker_are_no_templates(lab: Lab, marker: Path) -> None:
    """A file whose name is a template is found, named and removed; a sealed text with one is restored to the letter."""
    lab.on("worker-1", taken.named(marker))
    found = {d["item"] for d in lab.drift(2)["worker-1"]["differences"]}
    assert found == {f"files:/etc/cron.d/{taken.template(marker)}", f"files:{taken.SEALED}"}
    lab.bmk("provision", "--yes", code=None)
    assert not marker.exists()
    assert lab.on("worker-1", f"cat {taken.SEALED}") == taken.text(marker)
    assert "lookup" not in lab.on("worker-1", "ls /etc/cron.d")
    assert lab.drift(0)["worker-1"]["differences"] == []


def test_a_worker_whose_python_lies_reaches_no_other_host(lab: Lab, marker: Path) -> None:
    """Its answers are that host's failure; the control plane is put right in the same run, over its own ssh."""
    for host in ("cp-1", "worker-1"):
        lab.on(host, "chmod 0666 /etc/containerd/config.toml")
    lab.drift(2)
    lab.on("worker-1", taken.lying(marker))
    lab.bmk("provision", "--yes", code=None)
    assert not marker.exists()
    assert "answers what this module never says" in lab.bmk("why", "worker-1")
    assert lab.drift(0, "--limit", "cp-1")["cp-1"]["differences"] == []
    lab.on("worker-1", taken.HONEST_AGAIN)
    lab.bmk("provision", "--yes")
    assert not marker.exists()


def test_a_kubeconfig_of_a_control_plane_names_no_command(lab: Lab, marker: Path) -> None:
    """Fetched anew from a host whose own names a command, it has the credentials, and the API answers to them."""
    (lab.state / lab.name / "kubeconfig" / "drift").unlink()
    lab.on("cp-1", taken.commanding(marker))
    try:
        said, standings = lab.bmk("kubeconfig"), lab.drift(None)
    finally:
        lab.on("cp-1", taken.COMMANDING_NO_MORE)
    assert not marker.exists()
    assert "exec:" not in said
    assert standings["drift"]["state"] == "clean"
