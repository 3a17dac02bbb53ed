"""A small hall with all kinds of machine in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter

HALL = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: hall}
spec:
  deployer: {address: 10.1.0.2}
  networks:
    nodes: {cidr: 10.1.0.0/24, gateway: 10.1.0.1, mtu: 9000}
    storage: {cidr: 10.3.0.0/24}
    bmc: {cidr: 10.2.0.0/24}
  profiles:
    big:
      bmc: {kind: redfish, secret: bmc/hall}
      lab: {kind: vm, cpus: 4, memory: 3GiB, disk: 12GiB}
    old:
      bmc: {kind: ipmi, secret: bmc/hall}
      firmware: bios
      disk: {wwn: "0x5000c500a1b2c3d4"}
      lab: {kind: vm, memory: 2GiB, disk: 10GB}
    real:
      bmc: {kind: redfish, secret: bmc/hall}
  racks:
    r1:
      networks: [nodes, storage]
      hosts:
        - name: one
          profile: big
          serial: S1
          nics: [{mac: "52:54:00:00:00:01"}, {mac: "52:54:00:00:01:01", network: storage}]
          address: 10.1.0.11
          bmc: {address: 10.2.0.11}
          disk: {serial: "DISK,1"}
        - name: two
          profile: old
          serial: S2
          uuid: 6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770002
          nics: [{mac: "52:54:00:00:00:02"}]
          address: 10.1.0.12
          bmc: {address: 10.2.0.12}
        - name: iron
          profile: real
          serial: S3
          nics: [{mac: "52:54:00:00:00:03"}]
          address: 10.1.0.13
          bmc: {address: 10.2.0.13}
          disk: {serial: D3}
"""


@pytest.fixture
def hall(tmp_path: Path) -> DataCenter:
    """Two virtual machines (one with two networks, one old) and a real one, which the lab leaves alone."""
    directory = tmp_path / "hall"
    directory.mkdir()
    (directory / "dc.yml").write_text(HALL)
    return load_datacenter(directory)
