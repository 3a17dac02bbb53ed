"""Action plug-in of all batch modules: what the probe saw to be true is not asked again.

`bmk_probe` (registered as `bmk_probe` at the start of a play) says for each recorded section what its list was and
whether the host still matches it. When the list is the same and the host matches, the task is done without a call to
the host. That is why a second run needs a handful of calls. Without a probe every task calls its module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module of its task's own name, unless its work is known to be done."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module, or an unchanged result with `bmk_known` set."""
        task_vars = task_vars or {}
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        name = str(self._task.action).rpartition(".")[2]
        if holds(task_vars.get("bmk_probe"), name, arguments):
            return {"changed": False, "bmk_known": True, "items": []}
        result = self._execute_module(module_name=self._task.action, module_args=arguments, task_vars=dict(task_vars))
        return dict(result)


class ManifestModule(ActionModule):
    """Writes the manifest, unless the host carries it already and everything in it holds."""

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module, or what it would say."""
        probe, digest = (task_vars or {}).get("bmk_probe"), self._task.args.get("digest")
        if carried(probe, digest):
            outputs = {"manifest": digest, "notes": (probe or {}).get("notes", [])}
            return {"changed": False, "bmk_known": True, "bmk_outputs": outputs}
        return super().run(tmp, task_vars)


def carried(probe: Mapping[str, Any] | None, digest: str | None) -> bool:
    """Whether the probe saw this manifest, and nothing that differs from it."""
    sections = (probe or {}).get("sections") or {}
    seen = sections.get("manifest") or {}
    return bool(digest) and seen.get("inputs") == digest and all(s["holds"] for s in sections.values())


def holds(probe: Mapping[str, Any] | None, action: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the probe saw exactly this list, and the host as the list wants it."""
    section = f"{arguments.get('section')}.{action.removeprefix('bmk_')}"
    seen = ((probe or {}).get("sections") or {}).get(section)
    if probe and not seen and not arguments.get("items"):
        return True  # nothing was ever set, and nothing is wanted
    return seen is not None and seen["holds"] and seen["inputs"] == inputs(arguments.get("items") or [])


def inputs(items: list[Any]) -> str:
    """sha256 of a list as canonical JSON, as the modules compute it on the host."""
    plain = json.loads(json.dumps(items, default=str))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
