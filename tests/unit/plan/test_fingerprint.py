"""The fingerprint in a plan: it changes exactly when what the data center says changes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.plan.build import fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"address": IPv4Address("10.77.0.99")},
        {"bmc_address": IPv4Address("10.78.0.99")},
        {"pods": IPv4Network("10.250.0.0/24")},
    ],
)
def test_an_address_that_was_allocated_otherwise_is_another_data_center(change):
    """A saved plan does not fit any more when a host got another address, though dc.yml is the same."""
    dc = load_datacenter("lab")
    moved = replace(dc, hosts={**dc.hosts, "cp-1": replace(dc.hosts["cp-1"], **change)})
    assert fingerprint(moved) != fingerprint(dc)


def test_the_order_of_hosts_does_not_matter():
    """Two that say the same have the same fingerprint."""
    dc = load_datacenter("lab")
    turned = replace(dc, hosts=dict(reversed(list(dc.hosts.items()))))
    assert fingerprint(turned) == fingerprint(dc)
