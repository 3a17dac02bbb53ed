"""What the file says of a host's BMC: which secret, whose certificate; nothing that is believed by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmk.bmc import Trust
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.problems import InvalidDataCenter
from bmk.datacenter.resolve import DataCenter
from bmk.errors import ConfigError
from bmk.lab.bmc.certificate import authority
from bmk.live.bmc_trust import bmc_trust
from bmk.paths import state_dir

FILE = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {{name: trust}}
spec:
  deployer: {{address: 10.77.0.1}}
  networks: {{nodes: {{cidr: 10.77.0.0/24}}, bmc: {{cidr: 10.78.0.0/24}}}}
  profiles:
    box: {{bmc: {{kind: redfish, secret: bmc/all{profile}}}, disk: {{size: ">=1GB"}}{more}}}
  racks:
    r1:
      hosts:
        - {{name: one, profile: box, serial: S1, nics: [{{mac: "52:54:00:77:00:0b"}}], address: 10.77.0.11, bmc: {{address: 10.78.0.11{host}}}}}
        - {{name: two, profile: box, serial: S2, nics: [{{mac: "52:54:00:77:00:0c"}}], address: 10.77.0.12, bmc: {{address: 10.78.0.12}}}}
"""  # noqa: E501 - one host a line
PIN = "sha256:" + "5f" * 32


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def load(profile: str = "", host: str = "", more: str = "") -> DataCenter:
        path = tmp_path / "dc.yml"
        path.write_text(FILE.format(profile=profile, host=host, more=more))
        return load_datacenter(path)

    return load


def test_a_host_may_have_a_secret_of_its_own(file: Any) -> None:
    """What one BMC is told opens no other."""
    dc = file(host=", secret: bmc/one")
    assert {h.name: h.bmc_secret for h in dc.hosts.values()} == {"one": "bmc/one", "two": "bmc/all"}


def test_a_pinned_host_is_its_fingerprint(file: Any) -> None:
    """The one in the file counts; a host of the profile without one is refused, not believed at first sight."""
    dc = file(", tls: pin", f', fingerprint: "{PIN}"')
    assert bmc_trust(dc, dc.hosts["one"]) == Trust(fingerprint=PIN)
    with pytest.raises(ConfigError, match="no certificate is pinned") as caught:
        bmc_trust(dc, dc.hosts["two"])
    assert "bmk fingerprint trust two" in caught.value.hint


def test_authorities_are_a_file_beside_this_one(file: Any) -> None:
    """Named in the profile; by default those of this machine, and for the lab the lab's own."""
    named = file(", authorities: ca/bmc.pem")
    assert bmc_trust(named, named.hosts["one"]) == Trust(authorities=named.source.parent / "ca/bmc.pem")
    default = file()
    assert bmc_trust(default, default.hosts["one"]) == Trust()
    lab = file(more=", lab: {kind: simulated}")
    assert bmc_trust(lab, lab.hosts["one"]) == Trust(authorities=authority(state_dir("trust")))


@pytest.mark.parametrize(
    ("profile", "host"),
    [
        (", verify_tls: false", ""),
        (", tls: none", ""),
        (", authorities: ../ca.pem", ""),
        (", authorities: /etc/ssl/ca.pem", ""),
        ("", ", fingerprint: 5f5f"),
        ("", ", secret: '../x y'"),
    ],
)
def test_nothing_switches_trust_off(file: Any, profile: str, host: str) -> None:
    """There is no word for it, and no path that leads out of the data center's directory."""
    with pytest.raises(InvalidDataCenter):
        file(profile, host)
