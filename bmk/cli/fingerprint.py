"""`bmk fingerprint`: which TLS certificates BMCs show, for a person to compare and to pin in the file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import dc_argument, hosts_argument, limit_option, output_option
from bmk.cli.output import emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bmk.datacenter.resolve import Host
    from bmk.errors import Exit

_SIDE_BY_SIDE = 32  # BMCs asked at once
_SECONDS = 10.0  # for one of them


@click.command(name="fingerprint", epilog="Example: bmk fingerprint par r1-07")
@dc_argument
@hosts_argument
@limit_option
@output_option()
def command(dc: str, hosts: tuple[str, ...], limit: tuple[str, ...], output: str) -> int:
    """Show the SHA-256 fingerprint of each BMC's TLS certificate, and whether the file pins it. Nothing else is sent.

    What a network shows proves nothing by itself: compare it with the BMC's own page, its delivery papers, or what
    another line to it shows, before you write it as bmc.fingerprint of the host. Exit code 2: some BMC shows another
    certificate than the file pins; 4: some did not answer; 5: none did.
    """
    from bmk.datacenter.hosts import select_hosts
    from bmk.datacenter.load import load_datacenter
    from bmk.lab.host.netns import ensure_inside

    loaded = load_datacenter(dc)
    wanted = [h for h in select_hosts(loaded, hosts, limit) if h.profile.bmc.kind == "redfish"]
    ensure_inside(loaded)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        rows = list(pool.map(_row, wanted))
    emit(rows, output, ("host", "bmc", "fingerprint", "file"), ("problem",))
    return _end(rows, dc)


def _row(host: Host) -> dict[str, Any]:
    from bmk.bmc.https import shown_fingerprint
    from bmk.errors import BmkError

    row: dict[str, Any] = {"host": host.name, "bmc": str(host.bmc_address), "fingerprint": None, "file": None}
    try:
        shown = shown_fingerprint(str(host.bmc_address), host.profile.bmc.port, _SECONDS)
    except BmkError as error:
        return {**row, "problem": error.what}
    pinned = host.bmc_fingerprint
    return {**row, "fingerprint": shown, "file": standing(host.profile.bmc.tls, pinned, shown), "problem": None}


def standing(tls: str, pinned: str | None, shown: str) -> str:
    """Whether the file pins the certificate that a BMC shows."""
    if tls == "ca":
        return "trusts an authority"
    if pinned is None:
        return "not pinned"
    return "pinned" if pinned == shown else "pins another"


def _end(rows: Sequence[Mapping[str, Any]], dc: str) -> Exit:
    from bmk.errors import Exit, SomeHostsFailed, Unreachable

    silent = [row["host"] for row in rows if row["problem"]]
    if silent:
        kind = Unreachable if len(silent) == len(rows) else SomeHostsFailed
        raise kind(f"no certificate from {', '.join(silent)}", hint=f"bmk power status {dc} {' '.join(silent)}")
    return Exit.PENDING if any(row["file"] == "pins another" for row in rows) else Exit.OK
