"""Classes of our action plug-ins: a task whose result the probe already knows is done without a call to the host.

`bmk_probe` (registered as `bmk_probe` at the start of a play) says for each recorded section what its list was and
whether the host still matches it. When the list is the same and the host matches, the task is done without a call to
the host. That is why a second run needs a handful of calls. Without a probe every task calls its host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from bmk.ansible.answers import OddAnswer, heard
from bmk.ansible.module_runner import COMMAND, answer, program
from bmk.ansible.module_table import MODULES

Result = dict[str, Any]

_TAIL = 4096  # characters of what a module that broke off had printed


class CachedModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Runs the module of its task's own name on the host, by bmk/ansible/module_runner.py."""

    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The result of the module."""
        super().run(tmp, dict(task_vars or {}))
        known = self.known((task_vars or {}).get("bmk_probe"))
        return known if known is not None else self._call(task_vars or {})

    def known(self, probe: Mapping[str, Any] | None) -> Result | None:  # noqa: ARG002 - subclasses read it
        """The result, when the probe says it without a call."""
        return None

    @property
    def name(self) -> str:
        return str(self._task.action).rpartition(".")[2]

    def _call(self, task_vars: Mapping[str, Any]) -> Result:
        arguments = json.loads(json.dumps({**MODULES[self.name].defaults, **self._task.args}, default=str))
        python = self._templar.template(task_vars.get("ansible_python_interpreter") or "/usr/bin/python3")
        text = program(self.name, arguments, bool(self._task.check_mode))
        done = self._low_level_execute_command(f"{python} {COMMAND}", in_data=text.encode())
        said = answer(done.get("stdout", ""))
        if said is None:
            return self._without_answer(done)
        try:
            return heard(self.name, said)
        except OddAnswer as error:
            return {"failed": True, "msg": f"{self.name}: the host answers what this module never says: {error}"}

    def _without_answer(self, done: Mapping[str, Any]) -> Result:
        """The module did not come to its end: the end of what its Python printed."""
        last = {key: str(done.get(key) or "").strip()[-_TAIL:] for key in ("stdout", "stderr")}
        why = (last["stderr"] or last["stdout"] or "no output").splitlines()[-1:]
        return {"failed": True, "msg": f"{self.name} ended with {done.get('rc')}: {''.join(why)}", **last}


class BatchModule(CachedModule):
    """A batch module: calls its host unless its work is known to be done.

    `after: true` says that something this list depends on has changed since the probe, so the probe does not count.
    """

    def known(self, probe: Mapping[str, Any] | None) -> Result | None:
        """Done when this list holds by the probe."""
        if not boolean(self._task.args.get("after", False)) and holds(probe, self.name, self._task.args):
            return {"changed": False, "bmk_known": True, "items": []}
        return None


class ProbeModule(CachedModule):
    """Probes the host. With a `digest`, `current` says that the host carries that manifest and matches it."""

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The facts and sections, and whether there is anything to do."""
        seen = super().run(tmp, task_vars)
        digest = self._task.args.get("digest")
        seen["current"] = carried(seen, digest)
        if seen["current"]:
            seen["bmk_outputs"] = {"manifest": digest, "notes": seen.get("notes", [])}
        return seen


class ManifestModule(CachedModule):
    """Writes the manifest, unless the host carries it already and everything in it holds."""

    def known(self, probe: Mapping[str, Any] | None) -> Result | None:
        """The module's result when it has nothing to write."""
        digest = self._task.args.get("digest")
        if not carried(probe, digest):
            return None
        outputs = {"manifest": digest, "notes": (probe or {}).get("notes", [])}
        return {"changed": False, "bmk_known": True, "bmk_outputs": outputs}


def carried(probe: Mapping[str, Any] | None, digest: str | None) -> bool:
    """Whether the host carries this manifest, and nothing differs from it."""
    sections = (probe or {}).get("sections") or {}
    seen = sections.get("manifest") or {}
    return bool(digest) and seen.get("inputs") == digest and all(s["holds"] for s in sections.values())


def holds(probe: Mapping[str, Any] | None, action: str, arguments: Mapping[str, Any]) -> bool:
    """Whether exactly this list was recorded, and the host matches it."""
    section = f"{arguments.get('section')}.{action.removeprefix('bmk_')}"
    seen = ((probe or {}).get("sections") or {}).get(section)
    if probe and not seen and not arguments.get("items"):
        return True  # nothing was ever set, and nothing is wanted
    return seen is not None and seen["holds"] and seen["inputs"] == inputs(arguments.get("items") or [])


def inputs(items: list[Any]) -> str:
    """sha256 of a list as canonical JSON, as the modules compute it on the host."""
    plain = json.loads(json.dumps(items, default=str))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
