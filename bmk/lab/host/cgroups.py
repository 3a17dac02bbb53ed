"""Control groups of system containers: one group per lab and machine, below the group of whoever started the lab.

With cgroup v1 that is a group in every hierarchy; limits set above still hold. With v2 it is one group at the top of
what can be seen, because a group with processes in it cannot have children with controllers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """`hierarchies`: v1 controllers as the kernel names them (`cpu`, `name=systemd`); empty with v2."""

    version: Literal[1, 2]
    hierarchies: tuple[str, ...]
    parents: tuple[Path, ...]

    def groups(self, lab: str, machine: str | None = None) -> list[Path]:
        """Directories of the lab's group, or of one machine's, in every hierarchy."""
        return [parent / lab / machine if machine else parent / lab for parent in self.parents]


def find() -> Cgroups:
    """What this process sees. v2 counts only when it has controllers (a `unified` mount beside v1 has none)."""
    return parse(Path("/proc/self/cgroup").read_text(), ROOT)


def parse(proc_cgroup: str, root: Path) -> Cgroups:
    """From the text of /proc/self/cgroup and the mount point of the hierarchies."""
    rows = [line.split(":", 2) for line in proc_cgroup.splitlines()]
    v1 = [(controllers, path) for _, controllers, path in rows if controllers and "," not in controllers]
    mounted = [(c, p) for c, p in v1 if (root / c.removeprefix("name=")).is_dir()]
    joint = [(c, p) for _, c, p in rows if "," in c and (root / c).is_dir()]
    if not mounted and not joint:
        return Cgroups(2, (), (root,))
    both = joint + mounted
    parents = [root / c.removeprefix("name=") / p.strip("/") for c, p in both]
    # A v2 tree beside v1 has no controllers, but processes have a place in it too, and must not leave groups behind
    # there.
    parents += [root / "unified" / p.strip("/") for _, c, p in rows if not c and (root / "unified").is_dir()]
    return Cgroups(1, tuple(c for c, _ in both), tuple(parents))


def make(cgroups: Cgroups, lab: str, machine: str) -> list[Path]:
    """Make the groups of one machine and return their directories."""
    for parent in cgroups.parents:
        for group in (parent / lab, parent / lab / machine):
            group.mkdir(exist_ok=True)
            _inherit(cgroups, group)
    return cgroups.groups(lab, machine)


def _inherit(cgroups: Cgroups, group: Path) -> None:
    """A new cpuset (v1) is empty and accepts no process; a v2 child has only controllers that its parent enables."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if cgroups.version == 1 and (group / name).exists():
            (group / name).write_text((group.parent / name).read_text())
    if cgroups.version == 2:
        available = (group.parent / "cgroup.controllers").read_text().split()
        for controller in available:
            with contextlib.suppress(OSError):  # busy: the parent has processes of its own
                (group.parent / "cgroup.subtree_control").write_text(f"+{controller}")


def leave_group(cgroups: Cgroups, lab: str, pid: int) -> None:
    """Move a process out of its machine's group (v2):

    systemd can enable controllers only in a group without processes.
    """
    if cgroups.version == 2:
        for group in cgroups.groups(lab, "outside"):
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(pid))


def remove(cgroups: Cgroups, lab: str, machine: str | None = None) -> list[Path]:
    """Remove the groups of a lab, or of one machine, deepest first; returns those that could not (still in use)."""
    return [left for group in cgroups.groups(lab, machine) for left in _remove_tree(group)]


def _remove_tree(group: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            yield Path(directory)
