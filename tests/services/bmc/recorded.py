"""Recorded BMCs: what real ones answered, as data (`shapes/*.json`), served by HTTPS or said by `ipmitool`.

A shape has `machine` (what it is), `source` (where its structure is from), `odd` (what is odd about it), `file` (what
dc.yml says of the host: serial, uuid, macs, system), `redfish` (documents by path) or `ipmi` (what ipmitool prints, by
command; `sel` is the event log's records in hex), `habits`, and `expects`: the right value of each operation, or
`{"error": pattern}` where the right answer is a refusal. `status` in a document is answered instead of 200.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from .hostile import Hostile, serving

HERE = Path(__file__).parent
Shape = dict[str, Any]
Document = dict[str, Any]
RESETS = {"On": "On", "ForceOn": "On", "ForceOff": "Off", "GracefulShutdown": "Off", "PushPowerButton": "Off"}


def shapes() -> dict[str, Shape]:
    """All of them, by file name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "shapes").glob("*.json"))}


@contextmanager
def redfish(shape: Shape, directory: Path) -> Iterator[Hostile]:
    """A running BMC of this shape: it takes what the recorded one takes, and shows it."""
    with serving(directory) as server:
        for path, document in deepcopy(shape["redfish"]).items():
            _serve(server, path.rstrip("/"), document, frozenset(shape.get("habits", ())))
        yield server


def _serve(server: Hostile, path: str, document: Document, habits: frozenset[str]) -> None:
    server.pages[path] = (document["status"], {}, json.dumps(document).encode()) if "status" in document else document
    for name, action in document.get("Actions", {}).items():
        take = _TAKES.get(name.rpartition(".")[2])
        if take and "target" in action:
            server.pages[f"POST {action['target'].rstrip('/')}"] = partial(take, server, document, action)
    if "Inserted" in document and "Actions" not in document:
        server.pages[path] = partial(_show_patchable, document)
    if "Boot" in document or "Inserted" in document:
        server.pages[f"PATCH {path}"] = partial(_patch, server, document, habits)


def _show_patchable(document: Document, handler: Any) -> None:
    """A virtual drive of BMCs that have no action for it says that it may be written."""
    body = json.dumps(document).encode()
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nAllow: GET, PATCH\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def _reset(server: Hostile, system: Document, action: Document, handler: Any) -> None:
    wanted = json.loads(server.asked[-1].body)["ResetType"]
    allowed = action.get("ResetType@Redfish.AllowableValues")
    if allowed is not None and wanted not in allowed:
        _answer(handler, 400)
        return
    system["PowerState"] = RESETS[wanted]
    boot = system.get("Boot", {})
    if system["PowerState"] == "On" and boot.get("BootSourceOverrideEnabled") == "Once":
        boot["BootSourceOverrideEnabled"] = "Disabled"
    _answer(handler, 204)


def _insert(server: Hostile, drive: Document, _: Document, handler: Any) -> None:
    drive.update(Image=json.loads(server.asked[-1].body)["Image"], Inserted=True)
    _answer(handler, 204)


def _eject(_: Hostile, drive: Document, __: Document, handler: Any) -> None:
    drive.update(Image=None, Inserted=False)
    _answer(handler, 204)


_TAKES = {"Reset": _reset, "InsertMedia": _insert, "EjectMedia": _eject}


def _patch(server: Hostile, document: Document, habits: frozenset[str], handler: Any) -> None:
    """A property that the document does not have, and a value that it does not offer, are refused."""
    wanted = json.loads(server.asked[-1].body)
    if "needs-etag" in habits and handler.headers.get("If-Match") != document.get("@odata.etag"):
        _answer(handler, 412)
        return
    if "Inserted" in document:
        document.update({key: value for key, value in wanted.items() if key in ("Image", "Inserted")})
        _answer(handler, 204)
        return
    boot, change = document["Boot"], wanted["Boot"]
    if any(not _offers(boot, key, value) for key, value in change.items()) or _refused(habits, change):
        _answer(handler, 400)
        return
    boot.update(change)
    _answer(handler, 204)


def _offers(boot: Document, key: str, value: str) -> bool:
    return key in boot and value in boot.get(f"{key}@Redfish.AllowableValues", [value])


def _refused(habits: frozenset[str], change: Document) -> bool:
    disabling = change.get("BootSourceOverrideEnabled") == "Disabled"
    return (
        ("needs-mode" in habits and "BootSourceOverrideMode" not in change)
        or ("refuses-disabled" in habits and disabling)
        or ("refuses-disabled-none" in habits and disabling and change.get("BootSourceOverrideTarget") == "None")
    )


def _answer(handler: Any, status: int) -> None:
    handler.wfile.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def ipmitool(shape: Shape, directory: Path) -> None:
    """Make `directory`/ipmitool say what the recorded BMC said."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "shape.json").write_text(json.dumps(shape.get("ipmi", {})))
    shutil.copy(HERE / "recorded_ipmitool.py", directory)
    tool = directory / "ipmitool"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {directory}/recorded_ipmitool.py "$@"\n')
    tool.chmod(0o755)
