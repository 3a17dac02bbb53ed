# Copyright bmk contributors. Apache-2.0
"""etcd's member on this host: whether it is well, and whether the cluster bears that it stops for a moment."""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import Any

from ansible.module_utils.bmk_batch import Failed, command

ETCDCTL = "/usr/local/bin/etcdctl"
HERE = "https://127.0.0.1:2379"
PKI = "/etc/kubernetes/pki/etcd"
PATIENCE = "30s"  # for a member that does not answer; others answer at once
GRACE = 120  # seconds until a member that is not well counts as ill


def healthy() -> bool:
    """Whether this member answers a linearizable read, which needs a majority."""
    return any(member["health"] for member in _health())


def may_stop() -> None:
    """Raises Failed when the cluster would lose its majority by a restart here. A member that is down may restart.

    One that was changed just before, by a run that was killed, is waited for.
    """
    end = time.time() + GRACE
    while True:
        members = _health("--cluster")
        well = sum(member["health"] for member in members)
        # with one or two members each restart interrupts writes for a moment
        needed = min(len(members) // 2 + 1, len(members) - 1)
        if not members or well - 1 >= needed or not healthy():
            return
        if time.time() >= end:
            break
        time.sleep(1)
    ill = ", ".join(sorted(member["endpoint"] for member in members if not member["health"]))
    raise Failed(
        "etcd of this host stays as it is: of %d members %s are not well, and without this one nothing could be "
        "written any more. Next: mend those first; the same command goes on" % (len(members), ill)
    )


def addresses() -> list[str]:
    """Of all control planes, this one among them; none when this member does not answer."""
    return sorted(str(urllib.parse.urlsplit(member["endpoint"]).hostname) for member in _health("--cluster"))


def _health(*which: str) -> list[dict[str, Any]]:
    """Members as etcdctl sees them: {endpoint, health}; none when the one here does not say who they are."""
    keys = ("--cacert", PKI + "/ca.crt", "--cert", PKI + "/server.crt", "--key", PKI + "/server.key")
    asked = (ETCDCTL, "--endpoints", HERE, *keys, "--command-timeout", PATIENCE, "endpoint", "health", *which)
    try:
        found = json.loads(command(*asked, "--write-out", "json", check=False))
    except ValueError:
        return []
    return (
        [m for m in found if isinstance(m, dict) and {"endpoint", "health"} <= set(m)]
        if isinstance(found, list)
        else []
    )
