"""Which hosts a command is about: names and `--limit`."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.datacenter.inventory import groups_of
from bmk.datacenter.problem import did_you_mean
from bmk.datacenter.resolve import DataCenter, Host
from bmk.errors import ConfigError


def select_hosts(dc: DataCenter, names: Sequence[str] = (), limit: Sequence[str] = ()) -> tuple[Host, ...]:
    """Hosts that are named and within the limit, in the order of the file; all when neither is given.

    A limit is a host, rack, role, profile or cluster; commas separate several. Raises ConfigError for an unknown name.
    """
    for name in names:
        host_named(dc, name)
    wanted = [part.strip() for item in limit for part in item.split(",") if part.strip()]
    _require_known(dc, wanted)
    return tuple(
        host
        for host in dc.hosts.values()
        if (not names or host.name in names) and (not wanted or not selectors(host).isdisjoint(wanted))
    )


def host_named(dc: DataCenter, name: str) -> Host:
    """The host of that name. Raises ConfigError with a did-you-mean."""
    if name not in dc.hosts:
        what = f"there is no host {name!r} in {dc.name}"
        raise ConfigError(what, where=str(dc.source), hint=did_you_mean(name, dc.hosts))
    return dc.hosts[name]


def _require_known(dc: DataCenter, wanted: Sequence[str]) -> None:
    if not wanted:
        return
    known = set().union(*(selectors(host) for host in dc.hosts.values()))
    for name in wanted:
        if name not in known:
            what = f"--limit {name}: there is no such host, rack, role, profile or cluster in {dc.name}"
            raise ConfigError(what, where=str(dc.source), hint=did_you_mean(name, known))


def selectors(host: Host) -> set[str]:
    """Plain names and the names of inventory groups: people type both."""
    return {host.name, host.rack, host.profile_name, *([host.cluster] if host.cluster else []), *groups_of(host)}
