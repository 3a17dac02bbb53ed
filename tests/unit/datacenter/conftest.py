"""A small, good data center that tests spoil one line at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.problems import InvalidDataCenter, Located
from bmk.datacenter.resolve import DataCenter

GOOD = """\
apiVersion: bmk.dev/v1
kind: DataCenter
metadata: {name: tiny}
spec:
  deployer: {address: 10.1.0.2}
  networks:
    nodes: {cidr: 10.1.0.0/16, gateway: 10.1.0.1, dhcp: {pool: 10.1.9.0/24}, dns: [10.1.0.2]}
    bmc: {cidr: 10.2.0.0/16}
  profiles:
    box: {bmc: {kind: redfish, secret: bmc/tiny}, disk: {size: ">=400GB"}}
  racks:
    r1:
      hosts:
        - {name: a, profile: box, serial: S1, nics: [{mac: "52:54:00:00:00:01"}], address: 10.1.0.11, bmc: {address: 10.2.0.1}}
        - {name: b, profile: box, serial: S2, nics: [{mac: "52:54:00:00:00:02"}], address: 10.1.0.12, bmc: {address: 10.2.0.2}}
        - {name: c, profile: box, serial: S3, nics: [{mac: "52:54:00:00:00:03"}], address: 10.1.0.13, bmc: {address: 10.2.0.3}}
        - {name: d, profile: box, serial: S4, nics: [{mac: "52:54:00:00:00:04"}], address: 10.1.0.14, bmc: {address: 10.2.0.4}, labels: {role: worker}}
  clusters:
    one:
      kubernetes: {version: 1.37.2}
      endpoint: {vip: 10.1.0.10}
      control_plane: {hosts: [a, b, c]}
      workers: {select: {role: worker}}
      network: {pods: 10.3.0.0/16, services: 10.4.0.0/16}
"""  # noqa: E501 - one host a line keeps positions readable

ADDRESSES = "pods: {one: {a: 10.3.1.0/24, b: 10.3.2.0/24, c: 10.3.3.0/24, d: 10.3.4.0/24}}\n"


class Room:
    """A directory with a data center in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.write("dc.yml", GOOD)
        self.write("addresses.yml", ADDRESSES)

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    def edit(self, old: str, new: str, file: str = "dc.yml") -> Room:
        """Replace the only place where `old` stands."""
        text = (self.directory / file).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        self.write(file, text.replace(old, new))
        return self

    def load(self) -> DataCenter:
        return load_datacenter(self.directory, versions=frozenset({"1.37.2", "1.36.3"}))

    def problems(self) -> list[Located]:
        with pytest.raises(InvalidDataCenter) as caught:
            self.load()
        return list(caught.value.problems)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """The good data center in a directory of its own."""
    return Room(tmp_path / "tiny")


@pytest.fixture
def complaint(room: Room) -> Callable[[str, str], list[str]]:
    """Spoil the good data center and get every problem as `line:column what [hint]`."""

    def spoil(old: str, new: str) -> list[str]:
        return [f"{p.line}:{p.column} {p.what} [{p.hint}]" for p in room.edit(old, new).problems()]

    return spoil
