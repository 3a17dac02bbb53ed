"""kubeadm upgrades a host: its control plane, if it is one, and the kubelet's configuration.

The kubelet itself is one of the things that a converge brings, which comes next.
"""

from __future__ import annotations

from bmk.datacenter.resolve import Host
from bmk.engine.phase import Context, Effects, Phase
from bmk.engine.run import Timing
from bmk.phases.playbooks import converge, playbook
from bmk.plan import Actual, Change
from bmk.upgrade.model import NodeVersions
from bmk.upgrade.versions import version


class Upgraded(Phase):
    name = "upgraded"
    title = "Upgrade it with kubeadm"
    needs = ("evacuated",)
    effects = Effects(restarts=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"))

    def plan(self, host: Host, actual: Actual) -> list[Change]:
        upgrade = actual.upgrade
        if upgrade is None or not upgrade.pending:
            return []
        what = "its control plane and kubelet" if host.role == "control_plane" else "its kubelet"
        before = upgrade.api_server or upgrade.kubelet
        return [
            self.change("upgrade", f"upgrade {what} from {before} to {upgrade.target}", "the file has this version")
        ]

    async def run(self, ctx: Context) -> None:
        seconds = self.deadline(ctx.host, ctx.timing)
        key = f"upgrade/{ctx.host.role}/{ctx.host.cluster}"
        await converge(ctx, key, playbook(ctx, "upgrade.yml"), seconds)
        if ctx.host.role == "control_plane":
            await _server_is_new(ctx)
            # kubeadm lets Kubernetes approve any name for any ticket, each time
            await ctx.call(ctx.run.services.cluster(ctx.host.cluster or "").apply_policies)
        ctx.emit("host.upgraded", "kubeadm has upgraded it")

    def deadline(self, host: Host, timing: Timing) -> float:
        return {"standard": 1800, "emulated": 5400}[timing]


async def _server_is_new(ctx: Context) -> None:
    """Wait for its own API server at the new version, its member of etcd, and static pods that stay."""
    cluster = ctx.run.services.cluster(ctx.host.cluster or "")
    target = ctx.actual.upgrade.target if ctx.actual.upgrade else ""

    async def lacks() -> str:
        seen = (await ctx.call(cluster.versions)).get(ctx.host.name)
        well = bool((await ctx.call(cluster.etcd)).get(ctx.host.name))
        return server_lacks(seen, target) or ("" if well else "its member of etcd is not healthy")

    await ctx.poll(lacks, "upgrade.waiting")


def server_lacks(seen: NodeVersions | None, target: str) -> str:
    """What a control plane is without before its API server is the new one; "" for nothing."""
    if seen is None:
        return "the API does not know its node"
    if version(seen.api_server) != version(target):
        return f"its API server says {seen.api_server[:40] or 'nothing'}, not {target}"
    return f"{', '.join(seen.crashing)} begins again and again" if seen.crashing else ""
