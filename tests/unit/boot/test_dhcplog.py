"""dnsmasq's log lines as events per host, through rotation and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bmk.boot.dhcplog import DhcpLine, Tail, parse
from bmk.boot.request_context import RequestContext
from bmk.boot.watch import DhcpWatch, _resumed

STAMP = "Nov 23 20:46:42 dnsmasq-dhcp[4711]: 3242315424"
MAC = "52:54:00:20:00:11"
WITHHELD = "not using configured address 10.20.0.11 because it is leased to"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (f"{STAMP} DHCPDISCOVER(bmk0) {MAC} ", DhcpLine("dhcp.discover", "DHCPDISCOVER on bmk0", MAC)),
        (
            f"{STAMP} DHCPACK(bmk0) 10.20.0.11 {MAC} cp-1",
            DhcpLine("dhcp.ack", "DHCPACK 10.20.0.11 on bmk0 cp-1", MAC, "10.20.0.11"),
        ),
        (
            f"{STAMP} DHCPDISCOVER(bmk0) {MAC} no address available",
            DhcpLine("dhcp.exhausted", "DHCPDISCOVER on bmk0 no address available", MAC),
        ),
        (f"{STAMP} DHCPDISCOVER(bmk0) {MAC} ignored", DhcpLine("dhcp.ignored", "DHCPDISCOVER on bmk0 ignored", MAC)),
        (
            f"Nov 23 20:46:42 dnsmasq-dhcp[4711]: {WITHHELD} {MAC}",
            DhcpLine("dhcp.withheld", f"{WITHHELD} {MAC}", None, "10.20.0.11"),
        ),
        (f"{STAMP} PXE(eth0) {MAC} proxy", DhcpLine("dhcp.pxe", "PXE on eth0 proxy", MAC)),
        (
            "Nov 23 20:46:43 dnsmasq-tftp[4711]: sent /usr/lib/ipxe/undionly.kpxe to 10.20.0.11",
            DhcpLine("dhcp.tftp", "TFTP sent undionly.kpxe", None, "10.20.0.11"),
        ),
        (f"{STAMP} available DHCP range: 10.20.250.0 -- 10.20.250.255", None),
        ("Nov 23 20:46:42 dnsmasq[4711]: started, version 2.90 DNS disabled", None),
        ("", None),
    ],
)
def test_lines_about_a_machine_are_entries(line: str, entry: DhcpLine | None) -> None:
    """Each kind of line dnsmasq 2.90 writes about a machine, and none that is about nobody."""
    assert parse(line) == entry


def test_the_tail_follows_rotation_and_truncation(tmp_path: Path) -> None:
    """Lines are read once, half lines when they are whole, and a new file from its start."""
    log = tmp_path / "log"
    tail = Tail(log)
    assert list(tail.lines()) == []
    log.write_text("one\ntw")
    assert list(tail.lines()) == ["one"]
    log.write_text("one\ntwo\n")
    assert list(tail.lines()) == ["two"]
    log.rename(tmp_path / "log.1")
    log.write_text("three\n")
    assert list(tail.lines()) == ["three"]
    log.write_text("4\n")
    assert list(tail.lines()) == ["4"]


def _look(context: RequestContext) -> list[tuple[str | None, str]]:
    asyncio.run(DhcpWatch(context, _resumed(context)).look())
    return [(event.host, event.kind) for event in context.reader.since(kind="dhcp.")]


def test_a_restart_of_the_service_repeats_and_loses_nothing(context: RequestContext) -> None:
    """The place in the log is kept in the journal; a half-written line is read by the next process."""
    log = context.state / "boot" / "dnsmasq.log"
    log.write_text(f"{STAMP} DHCPDISCOVER(bmk0) {MAC} \n{STAMP} DHCPOFFER(bmk0) 10.20.0.11 {MAC[:2]}")
    assert _look(context) == [("cp-1", "dhcp.discover")]
    with log.open("a") as more:
        more.write(f"{MAC[2:]} \n")
    assert _look(context) == [("cp-1", "dhcp.discover"), ("cp-1", "dhcp.offer")]


def test_strangers_are_told_once_a_minute(context: RequestContext) -> None:
    """A machine that nobody knows and that asks every few seconds does not fill the journal."""
    log = context.state / "boot" / "dnsmasq.log"
    log.write_text(f"{STAMP} DHCPDISCOVER(bmk0) 02:00:00:00:00:99 no address available\n" * 50)
    assert _look(context) == [(None, "dhcp.exhausted")]
