"""A host that was removed is history: the record of its membership is closed, and nothing takes it back by itself."""

from __future__ import annotations

import time

from bmk.boot import grants
from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.journal.installation import OF_THE_MACHINE, close
from bmk.journal.records import InstallationRecord, MaintenanceRecord, RemovalRecord, RetiredRecord
from bmk.plan import Actual, Change

_KEPT = OF_THE_MACHINE - {MaintenanceRecord.KEY} | {
    *("host_keys", InstallationRecord.KEY, RemovalRecord.KEY, RetiredRecord.KEY)
}


class Retired(Phase):
    name = "retired"
    title = "Record that it is removed"
    needs = ("left", "cleaned", "shut_down")
    effects = Effects(leaves=True)

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        if actual.retired is None or actual.retired.done:
            return []
        left = "" if actual.ssh == "ok" or host.cluster is None else "; what is on its disk stays there"
        return [self.change("retire", f"record that it is removed{left}", f"ssh: {actual.ssh}")]

    async def run(self, ctx: Context) -> None:
        """A kubelet that was started again meanwhile may have registered its node: the API forgets it once more."""
        journal, host = ctx.run.journal, ctx.host
        if host.cluster is not None and ctx.actual.reset is None:
            await ctx.call(ctx.run.services.cluster(host.cluster).remove, host)
        with journal.transaction():
            if grants.current(journal, host.name, time.time()) is not None:
                grants.revoke(journal, host.name, time.time())
            order = RetiredRecord.load(journal, host.name) or RetiredRecord(at=time.time())
            order.model_copy(update={"done": True}).save(journal, host.name)
            close(journal, host.name, _KEPT)
        ctx.emit("host.removed", "removed, and off" if ctx.host.cluster is None else f"removed from {host.cluster}")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 120, "emulated": 300}[timing]
