"""Every way a command can end, mapped to one exit code and, for people, one message on stderr. Never a traceback."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

import click

from bmk.errors import BmkError, Exit
from bmk.terminal import beneath, guarded, printable


def run(command: click.Command, args: list[str] | None) -> int:
    """Run a click command to its end and return the exit code; what went wrong is printed on stderr."""
    with nullcontext() if "_BMK_COMPLETE" in os.environ else guarded():  # completions are bytes for the shell
        return _run(command, args)


def _run(command: click.Command, args: list[str] | None) -> int:
    try:
        result = command.main(args=args, prog_name="bmk", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; the same command continues", "yellow")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) closed the pipe. Python would report it again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.OK
    except Exception as error:
        return _failed(error)
    return int(result) if isinstance(result, int) else Exit.OK


def _failed(error: Exception) -> int:
    if isinstance(error, BmkError):
        return _known(error)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, ExceptionGroup) and (known := error.subgroup(BmkError)) and _leaves(known) == _leaves(error):
        # Tasks that ran side by side: every error is printed, the highest code is returned.
        return max(_known(e) for e in _leaves(known) if isinstance(e, BmkError))
    return _bug(error)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    parts = [_leaves(e) if isinstance(e, BaseExceptionGroup) else [e] for e in group.exceptions]
    return [leaf for part in parts for leaf in part]


def _known(error: BmkError) -> int:
    _say(str(error), "red")
    if debugging():
        _traceback(error)
    return error.exit_code


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return Exit.USAGE
    _say(error.format_message(), "red")
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        click.echo(f"  next: {ctx.command_path} --help", err=True)
    return Exit.USAGE


def _bug(error: Exception) -> int:
    from bmk.cli.crash import write_crash

    if debugging():
        _traceback(error)
    log = write_crash(error)
    _say(f"a bug in bmk: {type(error).__name__}: {error}", "red")
    click.echo(f"  where: {log}\n  next: run again with --debug, or report it with that file", err=True)
    return Exit.BUG


def debugging() -> bool:
    """True when the user asked for tracebacks (`bmk --debug`, BMK_DEBUG=1)."""
    return "--debug" in sys.argv[1:] or os.environ.get("BMK_DEBUG", "") not in ("", "0")


def _traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)


def _say(text: str, colour: str) -> None:
    from bmk.cli.output import use_colour

    first, *rest = printable(text).split("\n")
    lines = "\n".join([click.style(first, fg=colour), *rest])
    click.echo(lines, file=beneath(sys.stderr), color=use_colour(sys.stderr))
