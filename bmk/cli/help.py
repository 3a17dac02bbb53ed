"""`bmk help [COMMAND... | exit-codes]`."""

from __future__ import annotations

import click

from bmk.errors import Exit


@click.command(name="help")
@click.argument("topic", nargs=-1)
@click.pass_context
def command(ctx: click.Context, topic: tuple[str, ...]) -> None:
    """Explain a command or a topic. Topics: exit-codes."""
    if topic == ("exit-codes",):
        click.echo("\n".join(f"{code.value:>4}  {code.meaning}" for code in Exit))
        return
    here = ctx.find_root()
    for name in topic:
        group = here.command
        found = group.get_command(here, name) if isinstance(group, click.Group) else None
        if found is None:
            raise click.UsageError(f"there is no command or topic {' '.join(topic)!r}", ctx)
        here = click.Context(found, info_name=name, parent=here)
    click.echo(here.get_help())
