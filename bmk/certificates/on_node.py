# Copyright bmk contributors. Apache-2.0
"""Runs on a host, sent over ssh: what is in the files of certificates, and renewing some of them. One line of JSON.

Standard library only, Python 3.8 or newer. Of a file nothing but certificates leaves the host, never a key.
"""

from __future__ import annotations

import base64
import glob
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import Any

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----")
IN_KUBECONFIG = re.compile(r"^[ \t-]*client-certificate-data: *([A-Za-z0-9+/=]+)[ \t]*$", re.MULTILINE)
LONGEST = 1 << 17  # bytes of a file
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
SECONDS = 120  # for one call of kubeadm: it asks the API what the cluster is called, and goes on without an answer


def look(asked: dict[str, Any]) -> None:
    """`files`: pairs of path and path of the key; `programs`: name, a path among its arguments, where it is well."""
    say({
        "files": {path: seen for path, key in asked["files"] for seen in [file(path, key)] if seen},
        "started": started(asked["programs"]),
        "healthy": [name for name, _, url in asked["programs"] if healthy(url)],
    })  # fmt: skip


def renew(asked: dict[str, Any]) -> None:
    """`renew`: names for kubeadm; `owners`: systemd's file that says whose its files are; `program` is to start again.

    What can be done is done: the same call later does the rest.
    """
    for name in asked["renew"]:
        failed = said("kubeadm", "certs", "renew", name)
        if failed:
            say({"done": False, "failed": name, "why": failed})
            return
    if os.path.exists(asked["owners"]):
        failed = said("systemd-tmpfiles", "--create", asked["owners"])
        if failed:
            say({"done": False, "failed": asked["owners"], "why": failed})
            return
    for pid in pids(*asked["program"]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)  # the kubelet starts its container again
    say({"done": True, "failed": "", "why": ""})


def say(what: dict[str, Any]) -> None:
    sys.stdout.write("@bmk@" + json.dumps(what) + "\n")


def file(path: str, key: str) -> dict[str, Any] | None:
    """Certificates of a PEM file or a kubeconfig; None when there is no file."""
    try:
        with open(path, "rb") as opened:
            changed, text = os.fstat(opened.fileno()).st_mtime, opened.read(LONGEST).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return {"pem": "", "changed": 0.0, "pair": True, "problem": error.strerror or "OSError"}
    inside = IN_KUBECONFIG.search(text)
    if inside:
        try:
            text = base64.b64decode(inside.group(1)).decode(errors="replace")
        except ValueError:
            text = ""
    pem = "\n".join(BLOCK.findall(text)[:4])
    return {"pem": pem, "changed": changed, "pair": not key or pair(path, key), "problem": ""}


def pair(path: str, key: str) -> bool:
    """Whether the private key beside it is that of the certificate."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
    except (OSError, ValueError):
        return False
    return True


def pids(name: str, reads: str) -> list[int]:
    """Processes that were started by this name, with this path among their arguments."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline") if name else ():
        try:
            with open(path, "rb") as opened:
                argv = opened.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(argv[0]) == name and any(part.rpartition("=")[2] == reads for part in argv[1:]):
            found.append(int(path.split("/")[2]))
    return found


def started(programs: list[list[str]]) -> dict[str, float]:
    """When the youngest process of each name began, in seconds since the epoch."""
    with open("/proc/uptime") as opened:
        boot = time.time() - float(opened.read().split()[0])
    found: dict[str, float] = {}
    for name, reads, _ in programs:
        for pid in pids(name, reads):
            try:
                with open("/proc/%d/stat" % pid) as opened:
                    ticks = int(opened.read().rpartition(")")[2].split()[19])
            except OSError:
                continue
            found[name] = max(found.get(name, 0.0), boot + ticks / os.sysconf("SC_CLK_TCK"))
    return found


def healthy(url: str) -> bool:
    """Whether a program of this host answers with 200; who it is does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def said(*argv: str) -> str:
    """What a program said when it failed; "" when it did not."""
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL, env=ENVIRONMENT
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)[-500:]
    text = (done.stderr or done.stdout).decode(errors="replace").strip()
    return "" if done.returncode == 0 else text[-500:] or "exit code %d" % done.returncode
