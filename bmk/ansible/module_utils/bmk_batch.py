# Copyright bmk contributors. Apache-2.0
"""What all batch modules share: a list of items in, one result per item out, and a record of what was set.

A *kind* (files, packages, ...) is a class with `desired(item)` and `actual(item)`, two dicts that are equal when the
item is as it should be, and `apply(items, actual)`. The record of a section is what was desired; `bmk_probe` compares
it with what is there, so a later run asks a host once and not list by list.

Runs on nodes: standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

Item = dict[str, Any]
RECORDS = "/var/lib/bmk/sections"
_SAID = 200  # characters of a failed command in its error: which unit or package it was about


class Failed(Exception):
    """An item cannot be set; the message says which, why and what to do."""


class BatchKind:
    """One kind of item. `name` is the module's name without `bmk_`; `key` the field that identifies an item."""

    name = ""
    key = "name"

    def desired(self, item: Item) -> Item:
        raise NotImplementedError

    def actual(self, item: Item) -> Item:
        raise NotImplementedError

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        """Make these items (the ones that differ) as desired."""
        raise NotImplementedError

    def diff(self, item: Item, actual: Item, desired: Item) -> tuple[str, str]:
        """(before, after) as text for people."""
        return text(actual), text(desired)

    def record(self, item: Item, desired: Item) -> Item:
        """What to keep of an item: enough for `actual` and the comparison, nothing secret."""
        return {self.key: item[self.key], "desired": desired}

    def recorded_item(self, record: Item) -> Item:
        """The item that `actual` takes, from its record."""
        return dict(record)


def text(state: Item) -> str:
    return "".join("%s: %s\n" % (key, state[key]) for key in sorted(state) if state[key] is not None)


def digest(items: Any) -> str:
    """sha256 of the items as canonical JSON: the inputs of a section."""
    return hashlib.sha256(json.dumps(items, sort_keys=True, default=str).encode()).hexdigest()


def run_batch(module: Any, kind: BatchKind, afterwards: Callable[[], None] | None = None) -> None:
    """Compare, apply what differs (not in check mode), record, answer."""
    items, section = module.params["items"], module.params["section"]
    inputs = digest(items)
    try:
        before = {item[kind.key]: kind.actual(item) for item in items}
        desired = {item[kind.key]: kind.desired(item) for item in items}
        differing = [item for item in items if before[item[kind.key]] != desired[item[kind.key]]]
        diffs = [_diff(kind, item, before, desired) for item in differing]
        if differing and not module.check_mode:
            kind.apply(differing, before)
            _verify(kind, differing, desired)
        if not module.check_mode:
            note(kind, section, inputs, items, desired)
    except Failed as error:
        module.fail_json(msg=str(error))
    except KeyError as error:
        module.fail_json(msg="an item of %s lacks the field %s" % (section, error))
    if afterwards and not module.check_mode:
        afterwards()
    changed = {item[kind.key] for item in differing}
    results = [{"id": item[kind.key], "changed": item[kind.key] in changed} for item in items]
    module.exit_json(changed=bool(changed), items=results, diff=diffs, inputs=inputs)


def _verify(kind: BatchKind, items: list[Item], desired: dict[str, Item]) -> None:
    for item in items:
        now = kind.actual(item)
        if now != desired[item[kind.key]]:
            raise Failed(
                "%s: set, but it reads back as %s" % (item[kind.key], text(now).replace("\n", ", ").strip(", "))
            )


def _diff(kind: BatchKind, item: Item, before: dict[str, Item], desired: dict[str, Item]) -> dict[str, str]:
    old, new = kind.diff(item, before[item[kind.key]], desired[item[kind.key]])
    return {"before_header": item[kind.key], "after_header": item[kind.key], "before": old, "after": new}


def note(kind: BatchKind, section: str, inputs: str, items: list[Item], desired: dict[str, Item]) -> None:
    """Write down what was set."""
    entries = [kind.record(item, desired[item[kind.key]]) for item in items]
    body = {"kind": kind.name, "section": section, "inputs": inputs, "items": entries}
    write_atomically(
        record_path(section, kind.name), (json.dumps(body, indent=1, sort_keys=True) + "\n").encode(), 0o600
    )


def record_path(section: str, kind: str) -> str:
    return os.path.join(RECORDS, "%s.%s.json" % (section, kind))


def write_atomically(path: str, content: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
    """All or nothing, also across a crash: a temporary file in the same directory, synced, then renamed."""
    parent = os.path.dirname(path)
    os.makedirs(parent, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=parent, prefix=".bmk-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), uid, gid)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def command(*argv: str, **options: Any) -> str:
    """Output of a command; Failed with its last lines when it fails (unless check=False)."""
    check = options.pop("check", True)
    environment = dict(os.environ, LC_ALL="C.UTF-8", **options.pop("env", {}))
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
        **options,
    )
    if check and done.returncode:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-8:]
        raise Failed("%s ended with %d: %s" % (" ".join(argv)[:_SAID], done.returncode, "\n".join(lines)))
    return str(done.stdout.decode(errors="replace"))


def in_container() -> bool:
    """Whether PID 1 runs in a container: the kernel and its settings belong to somebody else then."""
    try:
        with open("/proc/1/environ", "rb") as file:
            return b"container=" in b"\0" + file.read()
    except OSError:
        return os.path.exists("/run/systemd/container")
