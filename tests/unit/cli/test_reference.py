"""docs/cli.md: what a reader finds there is what the commands say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from bmk.cli import COMMANDS, bmk

ROOT = Path(__file__).parents[3]


def test_the_reference_is_current():
    """docs/cli.md is what scripts/cli-reference writes now."""
    done = subprocess.run([sys.executable, ROOT / "scripts/cli-reference", "--check"], capture_output=True, check=False)
    assert done.returncode == 0, "scripts/cli-reference writes it anew"


def commands(command: click.Command, path: str = "bmk") -> list[tuple[str, click.Command]]:
    """All commands that do something, by what a user types."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    ctx = click.Context(command)
    children = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
    return [found for name, child in children if child for found in commands(child, f"{path} {name}")]


@pytest.mark.parametrize(("typed", "command"), commands(bmk))
def test_every_option_is_explained(typed, command):
    """Every command says what it does, every option what it means, and no line of a list of commands is cut."""
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert typed.count(" ") == 1 or not command.get_short_help_str(60).endswith("...")


@pytest.mark.parametrize("odd", ["nan", "inf", "-1"])
@pytest.mark.parametrize(("typed", "command"), commands(bmk))
def test_no_option_takes_what_is_no_amount(typed: str, command: click.Command, odd: str) -> None:
    """Seconds and hours are finite and not negative: `nan` is neither below nor above any bound."""
    for option in command.params:
        if option.type.name.startswith("float"):
            with pytest.raises(click.BadParameter):
                option.type.convert(odd, option, click.Context(command))


def test_the_table_knows_every_module():
    """Every command of the table exists."""
    assert all((ROOT / (module.replace(".", "/") + ".py")).is_file() for module, _ in COMMANDS.values())
