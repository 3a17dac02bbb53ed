"""The command line: a literal table of commands, each imported only when it is used, and one way out for errors."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from bmk import __version__
from bmk.cli.failure import run
from bmk.programs import look_in_sbin

# name -> (module, one line of help). The module holds a click command named `command`.
# A new command is one module and one line here; the order is the order of `bmk --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("bmk.cli.init", "Start a data center file"),
    "validate": ("bmk.cli.validate", "Check a data center file; every problem in one go"),
    "schema": ("bmk.cli.schema", "Print the JSON Schema of data center files, for editors"),
    "inventory": ("bmk.cli.inventory", "Print the Ansible inventory of a data center"),
    "plan": ("bmk.cli.plan", "Show what provision would change, host by host"),
    "provision": ("bmk.cli.provision", "Turn powered-off machines into Ready clusters"),
    "reinstall": ("bmk.cli.reinstall", "Have hosts installed anew by the next provision"),
    "remove": ("bmk.cli.remove", "Take hosts out of their cluster for good, and switch them off"),
    "reset": ("bmk.cli.reset", "End a cluster; its machines stay installed"),
    "maintenance": ("bmk.cli.maintenance", "Take hosts out of service for a while, and bring them back"),
    "upgrade": ("bmk.cli.upgrade", "Bring clusters to another version of Kubernetes, host by host"),
    "hardening": ("bmk.cli.hardening", "Check every control on every node and API, with evidence"),
    "certs": ("bmk.cli.certs", "Show when certificates end, and renew those that end soon"),
    "keys": ("bmk.cli.keys", "Show or replace the ssh key with which bmk logs in to hosts"),
    "backup": ("bmk.cli.backup", "Take proven, encrypted backups of clusters"),
    "restore": ("bmk.cli.restore", "Prove that a cluster could be restored from a backup"),
    "status": ("bmk.cli.status", "Show where each host is"),
    "drift": ("bmk.cli.drift", "Compare hosts with what the last converge left, and say what to do"),
    "verify": ("bmk.cli.verify", "Prove that hosts and clusters work as they should"),
    "report": ("bmk.cli.report", "Write one page about a data center: racks, timelines, drift"),
    "why": ("bmk.cli.why", "Show one host's timeline, the likely cause and the next command"),
    "events": ("bmk.cli.events", "Print the journal as it was written"),
    "power": ("bmk.cli.power", "Switch machines on, off, or ask"),
    "fingerprint": ("bmk.cli.fingerprint", "Show the TLS certificates of BMCs, to compare and pin"),
    "console": ("bmk.cli.console", "Show a machine's serial console"),
    "ssh": ("bmk.cli.ssh", "Open a shell on a host, with its pinned key"),
    "tpm": ("bmk.cli.tpm", "Say which TPM is a host's, for hosts that prove themselves by it"),
    "grant": ("bmk.cli.grant", "List or revoke permissions to install"),
    "approve": ("bmk.cli.approve", "Approve certificates of nodes that the file confirms"),
    "kubeconfig": ("bmk.cli.kubeconfig", "Print a cluster's admin kubeconfig"),
    "adopt": ("bmk.cli.adopt", "Let a copy of a data center's file take over its state"),
    "artifacts": ("bmk.cli.artifacts", "Build, sync, verify or list what a data center serves"),
    "image": ("bmk.cli.image", "Build the node image and the install ramdisk"),
    "lab": ("bmk.cli.lab", "Run a virtual data center"),
    "help": ("bmk.cli.help", "Explain a command or a topic (exit-codes)"),
}


class LazyGroup(click.Group):
    """Knows its commands by the table; imports one when it is called, never for `--help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(n, help=text) for n, (_, text) in COMMANDS.items() if n.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise _with_suggestion(error, args[0], ctx) from None


def _with_suggestion(error: click.UsageError, typed: str, ctx: click.Context) -> click.UsageError:
    from difflib import get_close_matches

    near = get_close_matches(typed, COMMANDS, n=1)
    message = f"there is no command {typed!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    return error if typed.startswith("-") else click.UsageError(message, ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bmk")
@click.option("--debug", is_flag=True, envvar="BMK_DEBUG", help="Print tracebacks.")
def bmk(debug: bool) -> None:
    """From powered-off servers to hardened Kubernetes clusters, from one reviewed file per data center.

    A data center (DC) is a name below inventories/ or the path of a file. `bmk help exit-codes` lists exit codes.
    """


def main(args: list[str] | None = None) -> Any:
    """Entry point of the `bmk` command. Never returns: exits with a code of `bmk.errors.Exit`."""
    look_in_sbin()
    sys.exit(run(bmk, args))
