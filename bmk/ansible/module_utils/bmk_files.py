# Copyright bmk contributors. Apache-2.0
"""Kind `files`: files, directories, links and absences, with owner, group and mode, written atomically."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Iterator

from ansible.module_utils.bmk_batch import BatchKind, Failed, Item, text, write_atomically

_ACL = "system.posix_acl_access"


class Files(BatchKind):
    """Items: {path, content | state: directory|link|absent|file|kept, target, owner, group, mode, tree, secret}.

    `kept` is a file that somebody else writes: owner and mode only, and no fault when it is not there. With `tree`
    everything below a directory has its owner and group as well.
    """

    name = "files"
    key = "path"

    def desired(self, item: Item) -> Item:
        state = item.get("state") or "file"
        if state == "absent":
            return {"type": "absent"}
        if state == "link":
            return {"type": "link", "target": item["target"]}
        known = {
            "type": "file" if state == "kept" else state,
            "mode": _mode(item),
            "owner": item.get("owner") or "root",
            "group": item.get("group") or "root",
        }
        if state == "file":
            known["sha256"] = hashlib.sha256(_content(item)).hexdigest()
        return known

    def actual(self, item: Item) -> Item:
        try:
            info = os.lstat(item["path"])
        except (FileNotFoundError, NotADirectoryError):
            return self.desired(item) if item.get("state") == "kept" else {"type": "absent"}
        if stat.S_ISLNK(info.st_mode):
            return {"type": "link", "target": os.readlink(item["path"])}
        known = {
            "type": "directory" if stat.S_ISDIR(info.st_mode) else "file",
            "mode": "%04o" % stat.S_IMODE(info.st_mode) + ("+" if _listed(item["path"]) else ""),
        }
        uid, gid = (item.get("tree") and astray(item["path"], info.st_uid, info.st_gid)) or (info.st_uid, info.st_gid)
        known.update(owner=_user(uid), group=_group(gid))
        if known["type"] == "file" and item.get("state") != "kept":
            known["sha256"] = _hash(item["path"])
        return known

    def record(self, item: Item, desired: Item) -> Item:
        kept = {key: item[key] for key in ("state", "mode") if item.get("state") == "kept"}
        kept.update({"tree": True} if item.get("tree") else {})
        return dict(kept, path=item["path"], desired=desired)

    def apply(self, items: list[Item], actual: dict[str, Item]) -> None:
        for item in items:
            try:
                _set(item, item.get("state") or "file")
            except OSError as error:
                raise Failed("%s: %s" % (item["path"], error.strerror)) from error

    def diff(self, item: Item, actual: Item, desired: Item) -> tuple[str, str]:
        if item.get("secret"):
            return "(secret)\n", "(secret, changed)\n"
        if item.get("state") == "kept":  # a socket cannot be read; contents of others are not shown
            return text(actual), text(desired)
        before = _read(item["path"]) if actual.get("type") == "file" else ""
        after = _content(item).decode(errors="replace") if desired["type"] == "file" else ""
        if before == after:
            return text(actual), text(desired)
        return before, after


def _listed(path: str) -> bool:
    """Whether an access list gives rights beyond the mode, which `ls` shows as a plus."""
    try:
        return bool(os.getxattr(path, _ACL))
    except OSError:
        return False


def _mode(item: Item) -> str:
    return "%04o" % int(str(item.get("mode") or ("0755" if item.get("state") == "directory" else "0644")), 8)


def _content(item: Item) -> bytes:
    return (item.get("content") or "").encode()


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(1 << 20).decode(errors="replace")


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _ids(item: Item) -> tuple[int, int]:
    try:
        return pwd.getpwnam(item.get("owner") or "root").pw_uid, grp.getgrnam(item.get("group") or "root").gr_gid
    except KeyError as error:
        raise Failed("%s: %s on this host" % (item["path"], str(error).strip("'\""))) from error


def _set(item: Item, state: str) -> None:
    path = item["path"]
    if state in ("absent", "link"):
        _remove(path)
    if state == "link":
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(item["target"], path)
    elif state == "kept" or (state == "file" and _same(item)):
        _own(item)  # the bytes are right: a new file would look like new configuration
    elif state == "file":
        write_atomically(path, _content(item), int(_mode(item), 8), *_ids(item))
    elif state == "directory":
        os.makedirs(path, exist_ok=True)
        _own(item)


def _own(item: Item) -> None:
    if _listed(item["path"]):
        os.removexattr(item["path"], _ACL)
    ids = _ids(item)
    os.chown(item["path"], *ids)
    os.chmod(item["path"], int(_mode(item), 8))
    if item.get("tree"):
        for _ in foreign(item["path"], *ids, give=True):
            pass


def astray(path: str, uid: int, gid: int) -> tuple[int, int] | None:
    """Owner and group of the first thing below a directory that belongs to somebody else."""
    return next(foreign(path, uid, gid), None)


def foreign(path: str, uid: int, gid: int, give: bool = False) -> Iterator[tuple[int, int]]:
    """Owners of what does not belong to (uid, gid) below a directory; with `give` it does afterwards.

    Its owner may change it meanwhile, so every step is taken from an open directory and no link is followed.
    """
    for _, directories, names, at in os.fwalk(path, follow_symlinks=False):
        for name in (*directories, *names):
            try:
                info = os.stat(name, dir_fd=at, follow_symlinks=False)
                if (info.st_uid, info.st_gid) == (uid, gid):
                    continue
                if give:
                    os.chown(name, uid, gid, dir_fd=at, follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield info.st_uid, info.st_gid


def _same(item: Item) -> bool:
    path = item["path"]
    return (
        os.path.isfile(path) and not os.path.islink(path) and _hash(path) == hashlib.sha256(_content(item)).hexdigest()
    )


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
