"""Ansible's host_pinned, but a worker that was killed ends the run, as with `linear`: it is waited for ever otherwise.

Others are ended in the middle, too: who died may have had the lock of the queue by which all of them answer.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.strategy import host_pinned

DOCUMENTATION = host_pinned.DOCUMENTATION.replace("name: host_pinned\n", "name: bmk_host_pinned\n", 1)


class StrategyModule(host_pinned.StrategyModule):  # type: ignore[misc]  # Ansible has no types
    """Checks for dead workers whenever it reads results."""

    def _process_pending_results(self, iterator: Any, *how: Any, **more: Any) -> list[Any]:
        if self._tqm.has_dead_workers():
            raise AnsibleError("a worker of Ansible was killed")
        results: list[Any] = super()._process_pending_results(iterator, *how, **more)
        return results
