"""Roles against their models and the house's rules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import bmk_kubeadm_files

from bmk.ansible.events import LOCAL_ACTIONS
from bmk.ansible.manifest import roles
from bmk.ansible.variables import ROLES, USES, ClusterVariables, DeployerVars, HostVariables
from bmk.document import read_document
from bmk.paths import content_dir

ROOT = content_dir()
FILES = [p for role in ROLES for p in sorted((ROOT / "roles" / role / "tasks").glob("*.yml"))]


def test_specs_and_defaults_are_what_the_models_say() -> None:
    """Argument specs and defaults are generated; nobody edits them by hand."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/role-specs"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"not in step: {done.stdout}; run scripts/role-specs"


def test_modules_and_action_plugins_are_what_the_table_says() -> None:
    """Both are generated; a row that is missing, a file that was edited and one without a row are named."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/module-stubs"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"not in step: {done.stdout}; run scripts/models"


def test_each_role_is_whole() -> None:
    """A role has a model of its variables, a scenario of molecule and a suite of bmk verify."""
    there = {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}
    assert there == set(ROLES) == set(USES)
    assert not {role for role in there if not (ROOT / f"molecule/{role}/molecule.yml").is_file()}
    assert not {role for role in there if not (ROOT / f"bmk/verify/suites/test_{role}.py").is_file()}


def test_a_converge_keeps_the_records_of_its_roles() -> None:
    """A section that the playbook did not name would be deleted after each run, and set again by each."""
    (play,) = read_document(ROOT / "playbooks/configure.yml").value
    more = re.findall(r"'(\w+)'", play["vars"]["bmk_sections"])
    named = {*roles(), *more}
    assert bmk_kubeadm_files.SECTION in named
    found = {
        task[action]["section"]
        for role in roles()
        for path in (ROOT / "roles" / role / "tasks").glob("*.yml")
        if path.stem != "upgrade"  # whose records end with the converge that follows
        for task in _tasks(yaml.safe_load(path.read_text()))
        for action in task
        if action.startswith("bmk_") and "section" in task[action]
    }
    assert found <= named


def test_the_inventory_is_what_roles_expect(inventory: dict[str, Any]) -> None:
    """Every variable of the inventory is in the models and none is missing, so roles never meet a surprise."""
    DeployerVars.model_validate(inventory["all"]["vars"]["bmk_deployer"])
    ClusterVariables.model_validate(inventory["cluster_lab_ha"]["vars"]["bmk_cluster"])
    for host, variables in inventory["_meta"]["hostvars"].items():
        if host != "deployer":
            HostVariables.model_validate(variables["bmk_host"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_each_task_is_one_call_at_most(path: Path) -> None:
    """Tasks use our batch modules or what runs on the controller: so the number of tasks bounds the number of calls."""
    own = {p.stem for p in (ROOT / "bmk/ansible/modules").glob("bmk_*.py")}
    once = own | {f"ansible.builtin.{a}" for a in LOCAL_ACTIONS} | {"ansible.builtin.fetch"}
    for task in _tasks(yaml.safe_load(path.read_text())):
        action = [k for k in task if k.startswith(("bmk_", "ansible.", "community."))]
        assert len(action) == 1, f"{task.get('name')}: {action}"
        assert action[0] in once, f"{task['name']} uses {action[0]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_task_files_are_short(path: Path) -> None:
    """A task file fits on a screen."""
    assert len(path.read_text().splitlines()) < 80


def test_secrets_are_hidden() -> None:
    """The task that mints tickets never prints its answer."""
    for name in ("control_plane/tasks/join.yml", "worker/tasks/run.yml"):
        tasks = _tasks(yaml.safe_load((ROOT / "roles" / name).read_text()))
        minting = [t for t in tasks if t.get("bmk_ticket", {}).get("state") == "minted"]
        assert [t.get("no_log") for t in minting] == [True]


def _tasks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    flat = []
    for task in found:
        inner = [t for key in ("block", "rescue", "always") for t in task.get(key, [])]
        flat += _tasks(inner) if inner else [task]
    return flat
