"""`bmk schema`: JSON Schema for editors."""

from __future__ import annotations

import click

from bmk.cli.output import dump


@click.command(name="schema")
@click.argument("kind", type=click.Choice(["dc", "hosts", "addresses"]), default="dc")
def command(kind: str) -> None:
    """Print the JSON Schema of dc.yml, of a rack's file of hosts, or of addresses.yml.

    An editor with yaml-language-server uses it when a file starts with:

    \b
      # yaml-language-server: $schema=PATH
    """
    from bmk.datacenter.schema import schema

    dump(schema(kind), "json")
