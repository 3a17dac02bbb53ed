"""The kubelet: runs, knows who asks, serves nothing to strangers."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("member")


def test_it_runs(host: Any) -> None:
    """The unit runs and is healthy by its own word."""
    assert host.service("kubelet").is_running
    assert host.check_output("curl -sf --max-time 10 http://127.0.0.1:10248/healthz") == "ok"


def test_strangers_are_refused(host: Any) -> None:
    """Without a certificate: 401 on its API, and no read-only port."""
    code = host.check_output("curl -sk -o /dev/null -w '%{http_code}' https://127.0.0.1:10250/pods")
    assert code == "401"
    assert host.check_output("ss -Hltn 'sport = :10255'") == ""


def test_its_configuration_is_the_hardened_one(host: Any) -> None:
    """What it was started with: no anonymous requests, certificates that rotate, seccomp by default."""
    text = host.file("/var/lib/kubelet/config.yaml").content_string
    for line in ("rotateCertificates: true", "seccompDefault: true", "serverTLSBootstrap: true"):
        assert line in text


def test_files_are_roots_alone(host: Any) -> None:
    """CIS 4.1: what decides, or holds keys, is read by root only."""
    for path in ("/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"):
        file = host.file(path)
        assert (file.user, file.group, file.mode & 0o077) == ("root", "root", 0), path
