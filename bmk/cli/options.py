"""Arguments that most commands share, with shell completion that reads names without parsing (it has 150 ms)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem


class AmountRange(click.FloatRange):
    """A number within bounds. `nan` is within all of them for click, and `inf` is no amount of anything."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no amount", param, ctx)
        return number


F = TypeVar("F", bound=Callable[..., Any])
ROLES = ("control_plane", "worker", "spare")
OUTPUTS = ("table", "wide", "json", "yaml", "name")


def dc_argument(function: F) -> F:
    """`<dc>`, passed as `dc: str`: a name below inventories/ or a path."""
    return click.argument("dc", metavar="DC", shell_complete=_datacenters)(function)


def host_argument(function: F) -> F:
    """`<host>`, passed as `host: str`; comes after `<dc>`."""
    return click.argument("host", metavar="HOST", shell_complete=complete_hosts)(function)


def hosts_argument(function: F) -> F:
    """`[host...]`, passed as `hosts: tuple[str, ...]`; comes after `<dc>`."""
    return click.argument("hosts", metavar="[HOST]...", nargs=-1, shell_complete=complete_hosts)(function)


def limit_option(function: F) -> F:
    """`--limit`, passed as `limit: tuple[str, ...]`; give it to `bmk.datacenter.hosts.select_hosts`."""
    return click.option(
        "--limit",
        multiple=True,
        metavar="NAME",
        help="Only these: host, rack, role or cluster; commas or several times.",
        shell_complete=_selectors,
    )(function)


def yes_option(function: F) -> F:
    """`-y/--yes`, passed as `yes: bool`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")(function)


def output_option(*formats: str) -> Callable[[F], F]:
    """`-o/--output`, passed as `output: str`; the first of `formats` (by default OUTPUTS) is the default."""
    allowed = formats or OUTPUTS
    choice = click.Choice(allowed)
    return click.option("-o", "--output", type=choice, default=allowed[0], show_default=True, help="Format of stdout.")


def _datacenters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bmk.datacenter.locate import datacenter_names

    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    return _items(datacenter_names(), incomplete)


def complete_hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Hosts of the data center that is the command's first argument, for options of a single command."""
    return _items(_known_hosts(ctx), incomplete)


def complete_clusters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Clusters of the data center that is the command's first argument."""
    from bmk.datacenter.load import load_datacenter
    from bmk.errors import BmkError

    try:
        names = list(load_datacenter(str(ctx.params.get("dc") or next(iter(ctx.args), ""))).spec.clusters)
    except (BmkError, OSError):
        return []
    return _items(names, incomplete)


def _selectors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    done, comma, last = incomplete.rpartition(",")
    return [CompletionItem(done + comma + item.value) for item in _items([*_known_hosts(ctx), *ROLES], last)]


def _known_hosts(ctx: click.Context) -> list[str]:
    from bmk.datacenter.locate import find_datacenter, host_names
    from bmk.errors import BmkError

    # While an option's value is being typed, click has not yet told arguments apart: they are all in `args`.
    dc = ctx.params.get("dc") or next(iter(ctx.args), "")
    try:
        return host_names(find_datacenter(dc))
    except (BmkError, OSError):
        return []  # completion has no way to say what is wrong; the command itself will


def _items(names: list[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
