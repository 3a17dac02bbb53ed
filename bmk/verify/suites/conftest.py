"""What suites share: the record of the host that is looked at, read once, and which suites are about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bmk.verify.suites.record import READ, Item, Record, parse

_READ: dict[str, Record] = {}


@pytest.fixture
def record(host: Any) -> Record:
    """What converges left on this host."""
    name = str(host.backend.get_pytest_id())
    if name not in _READ:
        _READ[name] = parse(host.check_output(READ))
    return _READ[name]


@pytest.fixture
def role(request: pytest.FixtureRequest) -> str:
    """The role that the suite is about; "host" for all."""
    return request.path.stem.removeprefix("test_")


@pytest.fixture(autouse=True)
def _applies(role: str, record: Record) -> None:
    """A suite is asked only where its role ran."""
    if role != "host" and role not in record.roles:
        pytest.skip(f"{role} did not run here")


@pytest.fixture
def recorded(role: str, record: Record) -> Callable[[str], list[Item]]:
    """Items of one kind that the suite's role wants on this host."""

    def of(kind: str) -> list[Item]:
        return record.items(role, kind) or pytest.skip(f"{role} wants no {kind} here")

    return of


@pytest.fixture
def slow(host: Any) -> int:
    """How many times longer an answer may take: 1 for real machines, more where the processor is emulated."""
    return 6 if host.run("systemd-detect-virt").stdout.strip() == "qemu" else 1


@pytest.fixture
def member(record: Record) -> None:
    """For tests of hosts that joined a cluster; a spare has no Kubernetes to look at."""
    if not record.joined:
        pytest.skip("not a member of a cluster")
