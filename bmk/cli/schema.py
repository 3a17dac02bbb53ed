"""`bmk schema`: JSON Schema for editors."""

from __future__ import annotations

import click

from bmk.cli.output import dump


@click.command(name="schema")
@click.argument("kind", type=click.Choice(["dc", "hosts", "addresses", "drift", "verify", "certs"]), default="dc")
def command(kind: str) -> None:
    """Print the JSON Schema of dc.yml, of a rack's file of hosts, of addresses.yml, or of what other commands print.

    An editor with yaml-language-server uses it when a file starts with:

    \b
      # yaml-language-server: $schema=PATH
    """
    if kind == "drift":
        from bmk.report.drift import schema as drift

        dump(drift(), "json")
    elif kind == "verify":
        from bmk.report.verify import schema as verify

        dump(verify(), "json")
    elif kind == "certs":
        from bmk.report.certificates import schema as certs

        dump(certs(), "json")
    else:
        from bmk.datacenter.write import schema

        dump(schema(kind), "json")
