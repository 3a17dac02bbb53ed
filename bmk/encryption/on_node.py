# Copyright bmk contributors. Apache-2.0
"""Runs on a control plane, sent over ssh: the file with the keys of secrets at rest, and what is under which of them.

Standard library only, Python 3.8 or newer. One line of JSON. No key is in it but in that of `give`, and of what is
under a key nothing at all: the API server writes it anew by itself when it is asked to change nothing.
"""

from __future__ import annotations

import base64
import fcntl
import glob
import hashlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

LONGEST = 1 << 16  # bytes of the file
PREFIX = "/registry/secrets/"
PAGE = 50  # secrets at a time: each may have more than a MiB
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
NOTHING = b"{}"  # a patch that changes nothing: what is not under the first key is written anew all the same
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"  # the answer has no content either
PASSING = (408, 429, 500, 502, 503, 504)  # codes after which the same request may succeed
TRIES = 6


class Stopped(Exception):
    """What went wrong, in words."""


def run(asked: dict[str, Any], act: str) -> None:
    """`asked`: see bmk/encryption/answer.py."""
    signal.signal(signal.SIGALRM, late)
    signal.alarm(int(asked["seconds"]))
    try:
        said = {"look": look, "give": give, "put": put, "restart": restart, "sweep": sweep, "compact": compact}[act](
            asked
        )
        sys.stdout.write("@bmk@" + json.dumps(dict(said, why="")) + "\n")
    except Stopped as stopped:
        sys.stdout.write("@bmk@" + json.dumps({"why": str(stopped)[:500]}) + "\n")


def look(asked: dict[str, Any]) -> dict[str, Any]:
    text = read(asked["file"])
    return {
        "keys": [{"name": key["name"], "digest": sha256(key["secret"].encode())} for key in keys(text)],
        "sha256": sha256(text),
        "loaded": loaded(asked, text),
        "ready": ready(asked),
    }


def give(asked: dict[str, Any]) -> dict[str, Any]:
    """The keys themselves."""
    return {"text": read(asked["file"]).decode(errors="replace")}


def put(asked: dict[str, Any]) -> dict[str, Any]:
    """Replace the file by another text, whole, if it still is what was seen; owner and mode stay."""
    path, text = asked["file"], asked["text"].encode()
    with alone(asked["lock"]):
        if sha256(read(path)) != asked["before"]:
            raise Stopped("%s was changed by somebody else meanwhile" % path)
        fresh = os.path.join(os.path.dirname(path), ".bmk-keys")  # one name: what a kill leaves is replaced by the next
        mode = os.stat(path)
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fchown(file.fileno(), mode.st_uid, mode.st_gid)
            os.fchmod(file.fileno(), mode.st_mode & 0o777)
            os.fsync(file.fileno())
        os.replace(fresh, path)
        directory = os.open(os.path.dirname(path), os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        note(asked, text)
    return {}


def restart(asked: dict[str, Any]) -> dict[str, Any]:
    """End the API server; the kubelet starts its container again. Does not wait for it."""
    with alone(asked["lock"]):
        note(asked, read(asked["file"]))
        for pid in servers(asked):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    return {}


def sweep(asked: dict[str, Any]) -> dict[str, Any]:
    """Count secrets by key from `after` on, for `part` seconds or to the end; with `rewrite` those under others than
    `key` are written anew.
    """
    end, server = time.monotonic() + asked["part"], ApiServer(asked)
    seen: dict[str, int] = {}
    failed: list[dict[str, str]] = []
    rewritten, start = 0, asked["after"]
    while True:
        page = listed(asked, start)
        for path, value in page["found"]:
            name = under(value)
            seen[name] = seen.get(name, 0) + 1
            if asked["rewrite"] and name != asked["key"]:
                why = server.write_anew(path)
                rewritten += not why
                failed += [{"what": path[len(PREFIX) :], "why": why}] if why else []
            start = path
        if not page["more"] or len(failed) >= 20:
            start = ""
            break
        if time.monotonic() >= end:
            break
    return {"seen": seen, "rewritten": rewritten, "failed": failed, "after": start, "revision": page["revision"]}


def compact(asked: dict[str, Any]) -> dict[str, Any]:
    """Forget what was before a revision: nobody can ask any more for what was under the old key."""
    done = command([*asked["etcdctl"], "compaction", str(asked["revision"])])
    if done.returncode and b"compacted" not in done.stderr:
        raise Stopped("etcdctl compaction: " + done.stderr.decode(errors="replace").strip()[-300:])
    return {}


def read(path: str) -> bytes:
    """b"" when it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read(LONGEST)
    except FileNotFoundError:
        return b""


def keys(text: bytes) -> list[dict[str, str]]:
    """Of a file of ours; none of any other."""
    try:
        found = json.loads(text)["resources"][0]["providers"][0]["secretbox"]["keys"]
        shape = [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": found}}, {"identity": {}}]}]
        good = json.loads(text)["resources"] == shape and all(isinstance(key["secret"], str) for key in found)
        return list(found) if good else []
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def note(asked: dict[str, Any], text: bytes) -> None:
    """When the file had this content, by the clock that nobody sets and that starts anew with the host."""
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    with open(os.open(asked["marker"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"sha256": sha256(text), "at": at}, file)


def loaded(asked: dict[str, Any], text: bytes) -> bool:
    """Whether the API server that runs began after the file had this content. What is not known is not so."""
    try:
        with open(asked["marker"]) as file:
            noted = json.load(file)
        began = [started(pid) for pid in servers(asked)]
        return bool(began) and noted["sha256"] == sha256(text) and min(began) > noted["at"]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def servers(asked: dict[str, Any]) -> list[int]:
    """Processes of the API server that reads this file."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as opened:
                argv = opened.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        reads = any(part == "--encryption-provider-config=" + asked["file"] for part in argv[1:])
        if os.path.basename(argv[0]) == "kube-apiserver" and reads:
            found.append(int(path.split("/")[2]))
    return found


def started(pid: int) -> float:
    """Seconds since the host was started."""
    with open("/proc/%d/stat" % pid) as opened:
        return int(opened.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def ready(asked: dict[str, Any]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    try:
        url = "https://%s:%d/readyz" % (asked["address"], asked["port"])
        with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Not while a converge, also one that a killed run left behind, is at kubeadm's files."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def listed(asked: dict[str, Any], start: str) -> dict[str, Any]:
    """The next secrets in etcd after the path `start`: path and value of each, as they are stored."""
    first = start + "\x01" if start else PREFIX  # no name has anything smaller in it
    words = ["get", first, PREFIX[:-1] + "0", "--limit", str(PAGE), "--write-out", "json"]
    done = command([*asked["etcdctl"], *words])
    try:
        body = json.loads(done.stdout)
        found = [(base64.b64decode(kv["key"]).decode(), base64.b64decode(kv["value"])) for kv in body.get("kvs", ())]
        return {"found": found, "more": bool(body.get("more")), "revision": int(body["header"]["revision"])}
    except (ValueError, LookupError, TypeError) as error:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise Stopped("etcdctl get: %s" % said) from error


def command(argv: list[str]) -> Any:
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, env=ENVIRONMENT, check=False, timeout=120
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Stopped("%s: %s" % (os.path.basename(argv[0]), error)) from error


def under(value: bytes) -> str:
    """The name of the key that a stored value is under, with the kind of a cipher that is not ours; "": none."""
    if not value.startswith(b"k8s:enc:"):
        return ""
    parts = value[:200].decode("latin-1").split(":", 5)
    if len(parts) < 6:
        return "?"
    return parts[4] if parts[2] == "secretbox" else "%s:%s" % (parts[2], parts[4])


class ApiServer:
    """The API server of this host, by the administrator's certificate. One connection for many requests."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.line: Any = None

    def write_anew(self, path: str) -> str:
        """Let a secret be stored again as it is; "" when it was, or is gone, or somebody else wrote it just now."""
        parts = path[len(PREFIX) :].split("/")
        if len(parts) != 2:
            return "no secret has such a path"
        url = "/api/v1/namespaces/%s/secrets/%s" % (quote(parts[0], safe=""), quote(parts[1], safe=""))
        code, said = 0, ""
        for turn in range(TRIES):
            code, said = self.patch(url)
            if code in (200, 404, 409):
                return ""
            if code not in PASSING and code != 0:
                break
            time.sleep(min(0.2 * 2**turn, 3))
        return "%s %s" % (code or "no answer:", said)

    def patch(self, url: str) -> tuple[int, str]:
        """Status and message; 0 when nobody answered."""
        try:
            if self.line is None:
                self.line = self.connect()
            headers = {"Content-Type": "application/merge-patch+json", "Accept": PARTIAL}
            self.line.request("PATCH", url, NOTHING, headers)
            answer = self.line.getresponse()
            body = answer.read(1 << 20)
            return answer.status, message(body) if answer.status >= 300 else ""
        except (OSError, http.client.HTTPException) as error:
            if self.line is not None:
                self.line.close()
            self.line = None
            return 0, "%s: %s" % (type(error).__name__, error)

    def connect(self) -> Any:
        with open(self.asked["admin"]) as file:
            text = file.read(LONGEST)
        authority, certificate, key = (
            part(text, name) for name in ("certificate-authority-data", "client-certificate-data", "client-key-data")
        )
        context = ssl.create_default_context(cadata=authority)
        with open(os.memfd_create("bmk"), "w") as memory:  # OpenSSL wants a file; this one is on no disk
            memory.write(certificate + "\n" + key)
            memory.flush()
            context.load_cert_chain("/proc/self/fd/%d" % memory.fileno())
        return http.client.HTTPSConnection(self.asked["address"], self.asked["port"], timeout=60, context=context)


def part(text: str, name: str) -> str:
    found = re.search(r"^[ \t-]*%s: *([A-Za-z0-9+/=]+)[ \t]*$" % name, text, re.MULTILINE)
    if not found:
        raise Stopped("the administrator's kubeconfig has no %s" % name)
    return base64.b64decode(found.group(1)).decode()


def message(body: bytes) -> str:
    """What the API says against it: of ours only kind and name are in there."""
    try:
        return str(json.loads(body)["message"])[:200]
    except (ValueError, LookupError, TypeError):
        return ""


def late(*_: Any) -> None:
    raise Stopped("it took too long")
