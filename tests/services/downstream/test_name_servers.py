"""Why `validate` wants a name server for nodes: CoreDNS, which asks those of its node, does not start without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bmk.artifacts.mirror import open_mirror


@pytest.mark.parametrize("servers", [(), ("10.1.0.2",), ("10.1.0.2", "10.1.0.3", "9.9.9.9")])
def test_coredns_starts_with_what_validate_lets_pass(tmp_path: Path, servers: tuple[str, ...]) -> None:
    """None: it ends and says so. One to three: it serves."""
    (tmp_path / "resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))
    (tmp_path / "Corefile").write_text(f".:0 {{\n  bind 127.0.0.1\n  forward . {tmp_path}/resolv.conf\n}}\n")
    argv = [str(open_mirror().file("coredns").local), "-conf", str(tmp_path / "Corefile")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as coredns:
        assert coredns.stdout is not None
        said = ""
        for line in coredns.stdout:
            said += line
            if line.startswith("CoreDNS-"):
                coredns.terminate()
        code = coredns.wait(30)
    assert ("CoreDNS-" in said) == bool(servers), said
    assert servers or code != 0
