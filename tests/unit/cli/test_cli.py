"""The command line: one table, every end mapped to an exit code, and a start that imports next to nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bmk.artifacts.lock import DEFAULT_LOCK
from bmk.cli import COMMANDS, bmk
from bmk.cli.failure import run
from bmk.errors import Declined, Exit, LockHeld, SomeHostsFailed, Unreachable
from bmk.paths import content_dir

LIBRARIES = ("pydantic", "yaml", "rich", "ansible", "sushy", "paramiko", "netaddr", "lightkube")
HEAVY = (*LIBRARIES, "asyncio", "sqlite3", "subprocess")


@pytest.fixture(autouse=True)
def _own_directories(tmp_path, monkeypatch):
    monkeypatch.setenv("BMK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))


def ends(error: BaseException | None = None, result: object = None) -> click.Command:
    """A command that ends in one way."""

    @click.command()
    def command() -> object:
        if error is not None:
            raise error
        return result

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LockHeld("held"), Exit.LOCKED),
        (Unreachable("silent"), Exit.UNREACHABLE),
        (SomeHostsFailed("two of three"), Exit.SOME_HOSTS),
        (ExceptionGroup("x", [Declined("no"), ExceptionGroup("y", [Unreachable("silent")])]), Exit.DECLINED),
        (click.UsageError("what?"), Exit.USAGE),
        (click.BadParameter("what?"), Exit.USAGE),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (click.Abort(), Exit.INTERRUPTED),
        (RuntimeError("oops"), Exit.BUG),
        (ExceptionGroup("x", [Declined("no"), RuntimeError("oops")]), Exit.BUG),
        (click.exceptions.Exit(2), Exit.PENDING),
    ],
)
def test_every_end_has_its_exit_code(error, code, capsys):
    """However a command ends, the exit code is that of the table and stdout stays empty."""
    assert run(ends(error), []) == code
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("result", "code"), [(None, 0), (Exit.PENDING, 2), (0, 0), ("text", 0)])
def test_result_of_a_command_is_its_exit_code(result, code):
    """A command returns an exit code, or nothing for success."""
    assert run(ends(result=result), []) == code


def test_known_error_prints_where_why_and_next(capsys):
    """An error says what, where, why and what to type next; no traceback."""
    run(ends(Unreachable("no answer", where="10.1.0.1", why="timed out", hint="bmk power lab cp-1 status")), [])
    assert capsys.readouterr().err == "10.1.0.1: no answer\n  why: timed out\n  next: bmk power lab cp-1 status\n"


def test_bug_leaves_a_private_log_and_a_short_message(capsys, tmp_path):
    """A bug prints one message with the path of a file, readable by its owner only, that has the traceback."""
    run(ends(RuntimeError("oops")), [])
    err = capsys.readouterr().err
    (log,) = (tmp_path / "state" / "_crash").iterdir()
    assert "Traceback" not in err
    assert str(log) in err
    assert "RuntimeError: oops" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_only_the_newest_crash_logs_are_kept(tmp_path):
    """A bug in a loop leaves at most 20 logs, the newest among them."""
    directory = tmp_path / "state" / "_crash"
    directory.mkdir(parents=True)
    for number in range(25):
        (directory / f"20200101T0000{number:02}-1.log").touch()
    run(ends(RuntimeError("newest")), [])
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == 20
    assert "newest" in (directory / names[-1]).read_text()


def test_debug_prints_the_traceback(capsys, monkeypatch):
    """BMK_DEBUG=1 or --debug shows the traceback of known errors too."""
    monkeypatch.setenv("BMK_DEBUG", "1")
    run(ends(LockHeld("held")), [])
    assert "Traceback" in capsys.readouterr().err


def test_full_disk_is_no_broken_pipe(capsys):
    """Only a reader that went away is a quiet end; other errors of the system are not swallowed."""
    assert run(ends(OSError(errno.ENOSPC, "no space left")), []) == Exit.BUG


def bmk_command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bmk as a user does."""
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-m", "bmk", *args], capture_output=True, text=True, env=env, check=False)


def test_reader_that_leaves_early_is_fine():
    """`bmk inventory lab-ha | head -1` ends quietly."""
    line = f"{sys.executable} -m bmk inventory lab-ha | head -n1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{\n")
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["validate", "lab"], 0, "good: 2 hosts"),
        (["validate", "labb"], 3, "did you mean 'lab'?"),
        (["valdate", "lab"], 64, "did you mean 'validate'?"),
        (["validate", "--nope"], 64, "No such option"),
        (["validate"], 64, "Missing argument"),
        ([], 64, "Commands:"),
        (["help", "nope"], 64, "there is no command or topic 'nope'"),
        (["inventory", "lab", "--host", "cp-9"], 3, "did you mean 'cp-1'?"),
        (["inventory", "lab", "--host", "cp-1", "--list"], 64, "exclude each other"),
    ],
)
def test_messages_and_codes_of_real_runs(args, code, says):
    """A user's mistakes end with the code of their kind and the next thing to type."""
    done = bmk_command(*args)
    assert done.returncode == code
    assert says in done.stderr


def test_help_lists_the_table_in_order():
    """`bmk --help` shows every command of the table, in its order, with its line of help."""
    done = bmk_command("--help")
    shown = re.findall(r"^  ([a-z]+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert (done.returncode, shown) == (0, list(COMMANDS))


def test_help_imports_next_to_nothing():
    """`bmk --help` loads click and no other library, so that it starts at once."""
    code = f"""
import sys
from bmk.cli import bmk
bmk(['--help'], standalone_mode=False)
print([m for m in {HEAVY} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_reading_a_data_center_loads_no_library_of_a_run():
    """Every command that takes a data center waits for this; certificates are for those that make them."""
    code = "import sys, bmk.datacenter.load; print(sys.modules.keys() & {'cryptography', 'lightkube', 'paramiko'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_exit_codes_are_printed():
    """`bmk help exit-codes` prints the whole enum."""
    done = bmk_command("help", "exit-codes")
    assert [int(line.split()[0]) for line in done.stdout.splitlines()] == [code.value for code in Exit]


def _modules() -> list[str]:
    return [name for name, (module, _) in COMMANDS.items() if _path(module).is_file()]


def _path(module: str) -> Path:
    return Path(__file__).parents[3] / (module.replace(".", "/") + ".py")


@pytest.mark.parametrize("name", _modules())
def test_every_command_of_the_table_imports_lightly(name):
    """A command's module holds a click command of that name, and importing it loads no heavy library."""
    code = f"""
import sys
from bmk.cli import bmk
command = bmk.get_command(None, {name!r})
print(command.name, [m for m in {LIBRARIES} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{name} []"


@pytest.mark.parametrize("name", _modules())
def test_every_command_has_help(name):
    """Every command explains itself."""
    command = bmk.get_command(click.Context(bmk), name)
    assert command is not None
    assert command.help


@pytest.mark.parametrize("output", ["table", "json"])
def test_an_invalid_lock_is_a_problem(tmp_path, output):
    """A lock beside dc.yml is taken by itself, so `validate` reads it too; a program is told as well as a person."""
    directory = tmp_path / "evil"
    shutil.copytree(content_dir() / "inventories" / "lab", directory)
    text = DEFAULT_LOCK.read_text().replace("package: github.com/coredns/coredns", "package: -toolexec=/tmp/x")
    (directory / "artifacts.lock").write_text(text)
    done = bmk_command("validate", str(directory), "-o", output)
    assert done.returncode == Exit.CONFIG
    assert "'-toolexec=/tmp/x' is not a module or package" in done.stdout + done.stderr
    assert not done.stdout or json.loads(done.stdout)["ok"] is False
