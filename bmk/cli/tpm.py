"""`bmk tpm`: a person accepts a host's TPM once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from bmk.cli.options import complete_hosts, dc_argument, host_argument, output_option
from bmk.cli.output import emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bmk.boot.tpm.accepted import Seen
    from bmk.journal import Journal


@click.group(name="tpm")
def command() -> None:
    """Accept, refuse or list the TPMs of hosts whose profile says `attest: {way: tpm}`."""


@command.command(name="list", short_help="List accepted TPMs, and those that were presented.")
@dc_argument
@click.argument("host", required=False, shell_complete=complete_hosts)
@output_option()
def list_(dc: str, host: str | None, output: str) -> None:
    """List the endorsement keys (EK) that were accepted or presented, of HOST or of all. Asks no machine."""
    from bmk.cli.records import open_records
    from bmk.datacenter.hosts import host_named

    loaded, journal = open_records(dc)
    names = list(loaded.hosts) if host is None else [host_named(loaded, host).name]
    rows = [row for name in names for row in _rows(journal, name)] if journal is not None else []
    emit(rows, output, ("host", "state", "ek", "when"), ("issuer", "from", "mac"))
    if not rows and output in ("table", "wide"):
        say(f"no TPM was presented or accepted; machines show theirs when they are installed: bmk provision {dc}")


def _rows(journal: Journal, host: str) -> list[dict[str, Any]]:
    from bmk.boot.tpm.accepted import accepted_at, seen
    from bmk.journal.host_status import age

    ek, at = accepted_at(journal).get(host, ("", 0.0))
    known = {one.ek: one for one in seen(journal, host)}
    rows = [_row(host, "accepted", ek, age(at), known.get(ek))] if ek else []
    return rows + [_row(host, "presented", one.ek, age(one.at), one) for one in known.values() if one.ek != ek]


def _row(host: str, state: str, ek: str, when: str, shown: Seen | None) -> dict[str, Any]:
    where = {"issuer": shown.issuer, "from": shown.client, "mac": shown.mac} if shown is not None else {}
    return {"host": host, "state": state, "ek": ek, "when": f"{when} ago", "issuer": None, "from": None, **where}


@command.command(short_help="Accept the TPM of HOST.", epilog="Example: bmk tpm accept par r1-07")
@dc_argument
@host_argument
@click.option("--ek", metavar="DIGEST", help="Digest of its endorsement key (64 hex digits), from a source you trust.")
def accept(dc: str, host: str, ek: str | None) -> None:
    """Say that a TPM is that of HOST. From then on no other one can be installed as this host.

    What was presented on the boot network proves nothing by itself: compare the digest with the one that `bmk console`
    shows (the install ramdisk prints it there), or with what the vendor or the machine's own system says. With --ek,
    which names exactly what you compared, nothing is asked, and the machine need not have been seen.
    """
    from bmk.boot.tpm.accepted import accept, accepted, seen

    journal = _journal(dc, host)
    shown = seen(journal, host)
    chosen = _digest(ek) if ek is not None else _asked(dc, host, shown, accepted(journal, host))
    accept(journal, host, chosen, time.time())
    say(f"accepted {chosen} as the TPM of {host}\n  next: bmk provision {dc}")


def _digest(text: str) -> str:
    plain = text.strip().lower()
    if len(plain) != 64 or set(plain) - set("0123456789abcdef"):
        raise click.BadParameter("64 hex digits: the SHA-256 digest of the endorsement key's public area")
    return plain


def _asked(dc: str, host: str, shown: Sequence[Seen], before: str | None) -> str:
    """The presented key that the user confirms."""
    from bmk.errors import Declined, PreflightRefused

    new = [one for one in shown if one.ek != before]
    if not new:
        what = f"{host} presented no TPM" + (" but the accepted one" if before else "")
        raise PreflightRefused(what, hint=f"bmk provision {dc} --limit {host} lets it show one, or name it by --ek")
    for one in new:
        say(_described(one))
    again = f"bmk tpm accept {dc} {host} --ek DIGEST"
    if len(new) > 1:
        raise PreflightRefused(f"{len(new)} TPMs were presented as that of {host}", hint=f"compare, then: {again}")
    if before:
        say(f"it takes the place of {before}")
    if not sys.stdin.isatty():
        raise Declined("nobody can be asked whether this is the right one", hint=f"compare, then: {again}")
    if not click.confirm(f"Is this the TPM of {host}?", default=False, err=True):
        raise Declined("nothing was changed", hint=f"bmk tpm refuse {dc} {host} forgets it")
    return new[0].ek


def _described(one: Seen) -> str:
    from bmk.journal.host_status import age
    from bmk.journal.quoted import quote

    maker = f"its certificate names as issuer {quote(one.issuer)}, unchecked" if one.issuer else "it has no certificate"
    return f"endorsement key {one.ek}\n  {maker}\n  presented {age(one.at)} ago from {one.client}, MAC {one.mac or '?'}"


@command.command(short_help="Take the acceptance of HOST's TPM back.")
@dc_argument
@host_argument
def refuse(dc: str, host: str) -> None:
    """Accept no TPM of HOST any more, and forget those that were presented. An installed host stays as it is."""
    from bmk.boot.tpm.accepted import refuse

    if not refuse(_journal(dc, host), host, time.time()):
        say(f"no TPM of {host} was accepted or presented")
        return
    say(f"no TPM of {host} is accepted; what it presents next can be: bmk tpm accept {dc} {host}")


def _journal(dc: str, host: str) -> Journal:
    from bmk.cli.records import open_records
    from bmk.datacenter.hosts import host_named
    from bmk.errors import PreflightRefused

    loaded, journal = open_records(dc)
    if host_named(loaded, host).profile.attestation.way != "tpm":
        raise PreflightRefused(f"{host} does not prove itself by a TPM", hint="say attest: {way: tpm} in its profile")
    if journal is None:
        raise PreflightRefused("nothing is known of this data center yet", where=dc, hint=f"run bmk plan {dc}")
    return journal
