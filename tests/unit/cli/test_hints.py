"""Whatever bmk tells a person to type can be typed: every command in a text of bmk is resolved against the CLI."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from bmk.cli import bmk
from bmk.journal.advice import ADVICE
from bmk.journal.causes import RULES

ROOT = Path(__file__).resolve().parents[3]
VALUE = "{value}"  # stands for what an f-string puts in
_MENTION = re.compile(r"(?<![\w./-])bmk ([a-z][a-z-]*)\b([^;:,.()\n|`\x22]*)")
_FILLED = re.compile(r"\{\{?\w*\}?\}|[A-Z][A-Z_|-]*|\$\w+")  # of a template, or what --help calls it
_NEXT, _TEMPLATE = re.compile("next: ", re.IGNORECASE), re.compile(r"\{\{.*?\}\}")
_HINT = re.compile("hint|next|instead|by_hand", re.IGNORECASE)  # names of what holds a hint


@dataclass(frozen=True)
class Text:
    """A text of the sources. In a `hint` each `bmk word` is a command with its arguments.

    Elsewhere it may be a sentence about bmk, or name a command without them.
    """

    place: str
    text: str
    hint: bool


def texts() -> Iterator[Text]:
    """Every string of bmk that is no docstring, what roles say comes next, and the tables of causes and advice."""
    for path in sorted(ROOT.glob("bmk/**/*.py")):
        tree = ast.parse(path.read_text())
        hints, docs = set(_hints(tree)), set(_docstrings(tree))
        for node in _strings(tree):
            if node not in docs:
                said, *then = _NEXT.split(_written(node), maxsplit=1)
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield from (Text(place, said, node in hints), *(Text(place, text, hint=True) for text in then))
    for path in sorted(ROOT.glob("roles/**/*.yml")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for text in _NEXT.split(line, maxsplit=1)[1:]:
                yield Text(f"{path.relative_to(ROOT)}:{number}", _TEMPLATE.sub(VALUE, text), hint=True)
    yield from (Text(f"RULES {rule.name}", rule.hint, True) for rule in RULES)
    yield from (Text(f"ADVICE {code}", text, True) for code, text in ADVICE.items())


def _strings(tree: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Strings and f-strings, but not the parts of the latter."""
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
        node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
    }
    for node in ast.walk(tree):
        text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if text and node not in parts:
            yield node


def _hints(tree: ast.AST) -> Iterator[ast.AST]:
    """Strings in what is passed, assigned or returned under the name of a hint."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and _HINT.search(node.arg or ""):
            yield from ast.walk(node.value)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_HINT.search(getattr(t, "id", getattr(t, "attr", ""))) for t in targets):
                yield from ast.walk(node.value)
        if isinstance(node, ast.FunctionDef) and _HINT.search(node.name):
            yield from ast.walk(node)


def _docstrings(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _written(node: ast.Constant | ast.JoinedStr) -> str:
    """The text, with VALUE for each value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)


def wrong(text: str, *, hint: bool) -> list[str]:
    """What cannot be typed of the commands that a text names."""
    found = []
    for match in _MENTION.finditer(text):
        command, words = bmk.get_command(click.Context(bmk), match[1]), match[2].split()
        if command is None:
            found += [f"`bmk {match[1]}`: no such command"] if hint else []
            continue
        if isinstance(command, click.Group):
            sub = command.get_command(click.Context(command), words[0]) if words else None
            if sub is None:
                found += [f"`bmk {match[1]}{match[2]}`: no such command of the group"] if hint else []
                continue
            command, words = sub, words[1:]
        problems = [*_unusable(command, words), *(_missing(command, words) if hint else ())]
        found += [f"`bmk {match[1]}{match[2]}`: {what}" for what in problems]
    return found


def _parts(command: click.Command) -> tuple[dict[str, click.Option], list[click.Argument]]:
    options = {name: p for p in command.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}
    return options, [p for p in command.params if isinstance(p, click.Argument)]


def _values(command: click.Command, words: list[str]) -> Iterator[str]:
    """Words that are no options and not the values of options, up to where a sentence goes on."""
    options, _ = _parts(command)
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            if word in options and not options[word].is_flag:
                next(rest, None)
        elif _FILLED.fullmatch(word) or word in _choices(command):
            yield word
        else:
            return


def _choices(command: click.Command) -> set[str]:
    return {c for p in _parts(command)[1] if isinstance(p.type, click.Choice) for c in p.type.choices}


def _unusable(command: click.Command, words: list[str]) -> Iterator[str]:
    options, arguments = _parts(command)
    if not command.context_settings.get(
        "allow_interspersed_args", True
    ):  # bmk ssh: what follows its arguments is another program's
        words = words[: next((at for at, word in enumerate(words) if not word.startswith("-")), 0)]
    yield from (f"no option {word}" for word in words if word.startswith("-") and word not in options)
    given = [word for word in _values(command, words) if word != VALUE]  # VALUE may be any number of words
    if len(given) > len(arguments) and not any(a.nargs == -1 for a in arguments):
        yield f"too many words: {' '.join(given)}"
    first = arguments[0].type if arguments else None
    if words and isinstance(first, click.Choice) and words[0] not in first.choices and not _FILLED.fullmatch(words[0]):
        yield f"{words[0]} is none of {', '.join(first.choices)}"
    last = arguments[-1].type if len(arguments) > 1 else None
    if words and isinstance(last, click.Choice) and not {VALUE, *last.choices} & set(words):
        yield f"one of {', '.join(last.choices)} is missing"


def _missing(command: click.Command, words: list[str]) -> Iterator[str]:
    """Arguments that a person would have to guess."""
    given = len(list(_values(command, words)))
    required = [a for a in _parts(command)[1] if a.required]
    yield from (f"{argument.make_metavar(click.Context(command))} is missing" for argument in required[given:])


FOUND = [text for text in texts() if "bmk " in text.text]


def test_every_command_that_is_named_exists() -> None:
    """Command, subcommand, options and arguments, in hints, causes and advice, and in whatever else bmk says."""
    bad = [f"{t.place}: {what}" for t in FOUND for what in wrong(t.text, hint=t.hint)]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    "text",
    [
        "bmk reset par",
        "then: bmk provision",
        f"bmk provision {VALUE} --limt {VALUE}",
        f"bmk grant give {VALUE}",
        "bmk plan DC HOST",
        f"bmk power explode {VALUE}",
    ],
)
def test_what_cannot_be_typed_is_found(text: str) -> None:
    """A command, an argument, an option, a subcommand, one word too many, and a word that is no choice."""
    assert wrong(text, hint=True)


def examples() -> Iterator[str]:
    """What `--help` of a command and of its subcommands ends with."""
    for name in bmk.list_commands(click.Context(bmk)):
        command = bmk.get_command(click.Context(bmk), name)
        found = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
        yield from (c.epilog for c in found if c is not None and c.epilog)


@pytest.mark.parametrize("example", sorted(examples()))
def test_examples_of_the_help_can_be_typed(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """click itself parses them; nothing is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r2.plan").touch()  # an example that reads a file
    words = shlex.split(re.split(r" > |\)", example.partition("bmk ")[2])[0])
    command = bmk.get_command(click.Context(bmk), words[0])
    assert command is not None
    context = command.make_context(words[0], words[1:])
    if isinstance(command, click.Group):
        name, sub, rest = command.resolve_command(context, words[1:])
        assert sub is not None
        sub.make_context(name, rest, parent=context)


def test_hints_are_read() -> None:
    """There are more than a hundred commands in hints, so that a sentence about bmk does not hide them."""
    assert sum(len(_MENTION.findall(t.text)) for t in FOUND if t.hint) > 100
