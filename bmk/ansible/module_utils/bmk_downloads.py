# Copyright bmk contributors. Apache-2.0
"""Kind `downloads`: files by URL and sha256, verified before use; archives are unpacked and each member recorded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
import tempfile
import urllib.error
import urllib.request
from typing import Any

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, write_atomically

_BLOCK = 1 << 20
_UNPACKED = "/var/lib/bmk/unpacked"
_HASHES = "/var/lib/bmk/hashes.json"
_CACHE: dict[str, dict[str, Any]] = {}


class Downloads(BatchKind):
    """Items: {dest, url, sha256, size, mode, unpack: bool}. `size` in bytes: about that much is read, whatever comes.

    With `unpack`, `dest` is a directory for the archive's files.
    """

    name = "downloads"
    key = "dest"

    def desired(self, item: Item) -> Item:
        return {"sha256": item["sha256"], "mode": _mode(item)}

    def actual(self, item: Item) -> Item:
        if item.get("unpack"):
            return _unpacked(item)
        try:
            mode = os.stat(item["dest"]).st_mode
        except FileNotFoundError:
            return {"sha256": None, "mode": None}
        return {"sha256": file_hash(item["dest"]), "mode": "%04o" % stat.S_IMODE(mode)}

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            if not item.get("unpack") and actual[item["dest"]]["sha256"] == item["sha256"]:
                os.chmod(item["dest"], int(_mode(item), 8))
            else:
                _fetch(item)

    def record(self, item: Item, desired: Item) -> Item:
        return {"dest": item["dest"], "unpack": bool(item.get("unpack")), "url": item["url"], "desired": desired}


def file_hash(path: str) -> str:
    """sha256 of a file. Read again only when size, times or inode changed since: nobody can set a change time back."""
    info = os.stat(path)
    seen = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev]
    known = _hashes().get(path)
    if known and known[0] == seen:
        return str(known[1])
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            total.update(block)
    _hashes()[path] = [seen, total.hexdigest()]
    return total.hexdigest()


def keep_hashes() -> None:
    """Remember what was hashed, on a host that bmk keeps a record on."""
    if os.path.isdir(os.path.dirname(_HASHES)):
        write_atomically(_HASHES, json.dumps(_hashes(), sort_keys=True).encode(), 0o600)


def _hashes() -> dict[str, Any]:
    if "all" not in _CACHE:
        try:
            with open(_HASHES) as file:
                _CACHE["all"] = dict(json.load(file))
        except (OSError, ValueError):
            _CACHE["all"] = {}
    return _CACHE["all"]


def _mode(item: Item) -> str:
    return "%04o" % int(str(item.get("mode") or "0755"), 8)


def _fetch(item: Item) -> None:
    parent = item["dest"] if item.get("unpack") else os.path.dirname(item["dest"])
    os.makedirs(parent, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=parent, prefix=".bmk-")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _stream(item, file)
            os.fchmod(file.fileno(), int(_mode(item), 8))
            os.fsync(file.fileno())
        if found != item["sha256"]:
            raise Failed(
                "%s: the bytes of %s have sha256 %s, the lock says %s; nothing replaced. Next: `bmk artifacts verify`"
                % (item["dest"], item["url"], found, item["sha256"])
            )
        if item.get("unpack"):
            _unpack(item, temporary)
        else:
            os.replace(temporary, item["dest"])
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _stream(item: Item, file: Any, attempts: int = 3) -> str:
    """Whoever answers in the mirror's place may go on for ever: what is longer than it should be is given up."""
    url = item["url"]
    for left in range(attempts - 1, -1, -1):
        file.seek(0)
        file.truncate()
        total = hashlib.sha256()
        try:
            # no proxy: nodes talk to the mirror of their own data center only
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
                for block in iter(lambda: answer.read(_BLOCK), b""):
                    total.update(block)
                    file.write(block)
                    if file.tell() > int(item["size"]):
                        break
            return total.hexdigest()
        except (OSError, urllib.error.URLError) as error:
            if not left:
                raise Failed(
                    "%s: %s. Next: is the boot server up, and does it have the file?" % (url, error)
                ) from error
    raise AssertionError


def _unpack(item: Item, archive: str) -> None:
    members = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            source = tar.extractfile(member)
            if source is None:
                continue
            name = os.path.normpath(member.name)
            if name.startswith(("/", "..")):
                raise Failed("%s: the archive has a member outside its directory: %s" % (item["url"], name))
            target = os.path.join(item["dest"], name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target + ".bmk-new", "wb") as file:
                shutil.copyfileobj(source, file)
                os.fchmod(file.fileno(), int(_mode(item), 8))
            os.replace(target + ".bmk-new", target)
            members[name] = file_hash(target)
    body = {"sha256": item["sha256"], "mode": _mode(item), "members": members}
    write_atomically(_note(item), json.dumps(body, sort_keys=True).encode(), 0o600)


def _unpacked(item: Item) -> Item:
    """As desired only while every member still has the bytes that came out of the verified archive."""
    try:
        with open(_note(item)) as file:
            note = json.load(file)
        for name, wanted in note["members"].items():
            if file_hash(os.path.join(item["dest"], name)) != wanted:
                return {"sha256": None, "mode": None}
    except (OSError, ValueError):
        return {"sha256": None, "mode": None}
    return {"sha256": note["sha256"], "mode": note["mode"]}


def _note(item: Item) -> str:
    return os.path.join(_UNPACKED, hashlib.sha256(item["dest"].encode()).hexdigest()[:16] + ".json")
