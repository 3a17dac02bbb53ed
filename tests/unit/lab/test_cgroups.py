"""Which control groups a lab makes, from what the kernel says, and that it takes them all away again."""

from __future__ import annotations

from pathlib import Path

from bmk.lab.host import cgroups

V1 = """\
9:name=systemd:/
4:memory:/agent/x
3:cpuset:/
2:cpu,cpuacct:/
0::/
"""


def directories(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_v1_stays_below_its_own_group(tmp_path: Path) -> None:
    """Limits that were set above the lab still hold, because its groups are children of its own in every hierarchy."""
    directories(tmp_path, "systemd", "memory/agent/x", "cpuset", "cpu,cpuacct", "unified")
    found = cgroups.parse(V1, tmp_path)
    assert found.version == 1
    assert tmp_path / "memory/agent/x" in found.parents
    assert tmp_path / "cpu,cpuacct" in found.parents
    assert set(found.hierarchies) == {"name=systemd", "memory", "cpuset", "cpu,cpuacct"}


def test_a_v2_tree_beside_v1_is_used_but_not_a_hierarchy(tmp_path: Path) -> None:
    """Processes get a group of their own there too, or their services would appear in the host's."""
    directories(tmp_path, "systemd", "memory/agent/x", "cpuset", "cpu,cpuacct", "unified")
    found = cgroups.parse(V1, tmp_path)
    assert tmp_path / "unified" in found.parents
    assert "" not in found.hierarchies


def test_unmounted_hierarchies_are_left_alone(tmp_path: Path) -> None:
    """A controller that the kernel has and nobody mounted is none of ours."""
    directories(tmp_path, "memory/agent/x")
    assert cgroups.parse(V1, tmp_path).hierarchies == ("memory",)


def test_v2(tmp_path: Path) -> None:
    """One tree, no hierarchies."""
    found = cgroups.parse("0::/user.slice/session-1.scope\n", tmp_path)
    assert found == cgroups.Cgroups(2, (), (tmp_path,))


def test_make_and_remove_leave_nothing(tmp_path: Path) -> None:
    """Every directory that was made is gone afterwards, with those that systemd made below it."""
    directories(tmp_path, "cpuset", "memory/agent/x")
    found = cgroups.parse("3:cpuset:/\n4:memory:/agent/x\n", tmp_path)
    made = cgroups.make(found, "lab", "m1")
    assert all(group.is_dir() for group in made)
    for group in made:
        (group / "system.slice/ssh.service").mkdir(parents=True)
    assert cgroups.remove(found, "lab") == []
    assert not list(tmp_path.rglob("lab"))
