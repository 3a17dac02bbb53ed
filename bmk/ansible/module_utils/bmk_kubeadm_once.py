# Copyright bmk contributors. Apache-2.0
"""kubeadm init and join, exactly once per host, whatever was interrupted before."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ansible.module_utils.bmk_batch import Failed, write_atomically
from ansible.module_utils.bmk_facts import MARKER, kubeadm_state
from ansible.module_utils.bmk_key import first_key, keep_key
from ansible.module_utils.bmk_kubeadm_files import refresh

KUBEADM = "/usr/local/bin/kubeadm"
SOCKET = "unix:///run/containerd/containerd.sock"
LOCK = "/run/bmk-kubeadm.lock"
CONFIG = "/run/bmk-kubeadm-"  # what follows is random
ADMIN = "/etc/kubernetes/admin.conf"
CREDENTIALS = "/etc/kubernetes/kubelet.conf"  # from then on the API knows the node
LOGS = "/var/log/bmk"
PAUSES = (5, 20, 60)  # seconds between the attempts of a join whose API server was too slow
TOO_SLOW = ("context deadline exceeded", "Client.Timeout exceeded", "TLS handshake timeout", "request timed out")
NOT_APPROVED = "TLS bootstrap"  # a ticket that is good for nothing any more does not get better


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No other kubeadm of bmk runs here meanwhile: one that a killed run left behind is waited for.

    But not a join that has no credentials yet: only the run that gave it its ticket approves them, and that is over.
    """
    with open(LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = kubeadm_state()
            if (state["state"], state.get("action")) == ("unfinished", "join") and not os.path.exists(CREDENTIALS):
                _end(lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in glob.glob(CONFIG + "*"):
            os.unlink(left)
        yield


def _end(lock: TextIO) -> None:
    """End whoever holds the lock, with its kubeadm; proc_locks(5), and ssh gives each command a session of its own."""
    there = os.fstat(lock.fileno())
    place = "%02x:%02x:%d" % (os.major(there.st_dev), os.minor(there.st_dev), there.st_ino)
    with open("/proc/locks") as file:
        rows = [line.split() for line in file]
    for pid in [int(row[4]) for row in rows if row[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and row[5] == place]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)


def once(params: dict[str, Any], check: bool) -> tuple[bool, str]:
    """(changed, last lines of kubeadm). Raises Failed with the cause and the next command."""
    if check:
        return kubeadm_state()["state"] != "joined", ""
    with alone():
        state = kubeadm_state()
        refuse(state, params["cluster"])
        if state["state"] == "joined":
            return False, ""
        environment = params["environment"]
        if state["state"] == "unfinished":
            _reset(environment)
        mark("unfinished", params)
        first_key(params["encryption"], params["action"])
        said = with_config(params["config"], lambda path: _patiently(params, path, environment))
        mark("joined", params)
        # kubeadm leaves the kubelet's configuration readable by all (CIS 4.1.9)
        with_config(params["settings"] or params["config"], lambda path: refresh(path, environment, False))
        return True, said


def _patiently(params: dict[str, Any], path: str, environment: dict[str, str]) -> str:
    """Run kubeadm; a join that the API was too slow for is reset and run again, a few times.

    kubeadm gives each of its first questions 10 s whatever its configuration says, and others join at the same time.
    """
    flags = ["--config", path] + (["--skip-token-print"] if params["action"] == "init" else [])
    for pause in PAUSES if params["action"] == "join" else ():
        try:
            return run(params["action"], flags, environment)
        except Failed as error:
            slow = any(words in str(error) for words in TOO_SLOW) and NOT_APPROVED not in str(error)
            if not slow or not _heard():
                raise
        time.sleep(pause)
        _reset(environment)
    return run(params["action"], flags, environment)


def _heard() -> bool:
    """Whether somebody still waits for what this says. After a killed run nobody does, and the next one does it all."""
    output = select.poll()
    output.register(1, 0)  # its end is always told
    return not output.poll(0)


def _reset(environment: dict[str, str]) -> None:
    run("reset", ["--force", "--cri-socket", SOCKET], environment)


def again(params: dict[str, Any], check: bool) -> list[str]:
    """Paths of what kubeadm had written and is put right. Raises Failed when this host is no member of the cluster."""
    with alone():
        state = kubeadm_state()
        refuse(state, params["cluster"])
        if state["state"] != "joined":
            raise Failed("kubeadm is not done here. Next: `bmk provision DC`")
        environment = params["environment"]
        put_back = keep_key(params["encryption"], check) if os.path.exists(ADMIN) else []
        paths: list[str] = with_config(params["config"], lambda path: refresh(path, environment, check))
        return list(dict.fromkeys(put_back + paths))  # it was written as root's, and given


def run(action: str, flags: list[str], environment: dict[str, str]) -> str:
    """Run kubeadm with its output in a log, so that it survives the end of this connection. Returns its last lines."""
    os.makedirs(LOGS, mode=0o700, exist_ok=True)
    log = os.path.join(LOGS, "kubeadm-%s.log" % action)
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        start = file.tell()
        done = subprocess.run(
            [KUBEADM, action, *flags],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(environment, PATH=path, HOME="/root", LC_ALL="C.UTF-8"),
            check=False,
        )
    lines = _since(log, start)
    if done.returncode:
        raise Failed(
            "kubeadm %s ended with %d: %s. Next: read %s on the host; the same command tries again"
            % (action, done.returncode, _cause(lines), log)
        )
    return "\n".join(lines[-6:])


def with_config(text: str, act: Callable[[str], Any]) -> Any:
    """Call `act` with the path of a file that only root reads; the file is gone afterwards."""
    handle, path = tempfile.mkstemp(dir=os.path.dirname(CONFIG), prefix=os.path.basename(CONFIG), suffix=".yaml")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        return act(path)
    finally:
        os.unlink(path)


def refuse(state: dict[str, Any], cluster: str) -> None:
    """Raises Failed where a Kubernetes runs that is not this cluster's."""
    if state["state"] == "foreign":
        raise Failed(
            "there is a Kubernetes that bmk did not make: %s. Next: `bmk reinstall DC HOST`" % ", ".join(state["found"])
        )
    if state["state"] == "joined" and state.get("cluster") != cluster:
        raise Failed(
            "this host is in cluster %s, not %s. Next: `bmk reinstall DC HOST`" % (state.get("cluster"), cluster)
        )


def mark(state: str, params: dict[str, Any]) -> None:
    """Write down what was begun or done here."""
    remember({"state": state, "action": params["action"], "cluster": params["cluster"]})


def remember(state: dict[str, Any]) -> None:
    """Write down what kubeadm did here, as `kubeadm_state` reads it."""
    body = dict(state, at=int(time.time()))
    write_atomically(MARKER, (json.dumps(body, sort_keys=True) + "\n").encode(), 0o600)


def _since(log: str, start: int) -> list[str]:
    with open(log, errors="replace") as file:
        file.seek(start)
        return file.read().strip().splitlines()


def _cause(lines: list[str]) -> str:
    """What kubeadm blames: its error lines if it has any, else its last words."""
    blamed = [line.strip() for line in lines if "[ERROR" in line or line.lower().startswith("error")]
    return "\n".join(blamed or lines[-8:])
