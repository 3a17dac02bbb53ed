"""What a program downstream would refuse, misread or ignore is refused by `validate`, with the place and the reason."""

from __future__ import annotations

import re

import pytest

from bmk.datacenter.problems import did_you_mean

VIP, NETWORK = "{vip: 10.1.0.10}", "{pods: 10.3.0.0/16, services: 10.4.0.0/16}"
DNS, LABEL = "dns: [10.1.0.2]", "labels: {role: worker}"

REFUSED = {
    **{
        f"host {word}": ("{name: d,", f"{{name: {word!r},", f"17:18 '{word}' is a role") for word in ("worker", "spare")
    },
    **{
        f"host {word}": ("{name: d,", f"{{name: {word!r},", f"17:18 '{word}' is a word of Ansible")
        for word in ("all", "ungrouped", "localhost")
    },
    **{
        f"host {word}": ("{name: d,", f"{{name: {word!r},", f"17:18 '{word}' is a word of dnsmasq")
        for word in ("ignore", "infinite", "5d", "101", "45m", "1w", "0")
    },
    **{
        f"host like a {kind}": ("{name: d,", f"{{name: {name},", f"'{name}' is the name of a {kind}")
        for kind, name in (("rack", "r1"), ("profile", "box"), ("cluster", "one"))
    },
    "rack like a role": ("    r1:", "    worker:", "12:5 'worker' is a role"),
    "cluster like a role": ("    one:", "    spare:", "19:5 'spare' is a role"),
    "network like a tag": ("    bmc: {cidr", "    known: {cidr", "8:5 'known' is a tag of the DHCP server"),
    **{
        f"endpoint {at}": (VIP, f"{{external: '{at}'}}", why)
        for at, why in (
            ("API.Example.com", "not a host name in lower case .* .write api.example.com"),
            (":99999", "not a host name"),
            ("api..x", "not a host name"),
            ("api.x:99999", "a port is a number from 1 to 65535"),
            ("api.x:0", "a port is a number from 1 to 65535"),
            ("-a.x", "not a host name"),
            ("300.1.1.1", "neither an IPv4 address nor a host name"),
            ("10.1.2", "neither an IPv4 address nor a host name"),
            (".".join(["a" * 63] * 4), "at most 253"),
        )
    },
    **{
        f"label {key}": (LABEL, f"labels: {{role: worker, {key!r}: x}}", "is not a label's name")
        for key in ("a..b/x", "-bad/x", "a/b/c", "/x", "x/", "A.b/x", "a_b/x", "x" * 64)
    },
    "label of a long prefix": (LABEL, f"labels: {{{'.'.join(['a' * 60] * 5)}/x: y}}", "has more than 253"),
    "no name server": (f", {DNS}", "", "7:5 nodes has nodes of a cluster and no name server"),
    "an empty list of name servers": (DNS, "dns: []", "no name server"),
    "four name servers": (
        DNS,
        "dns: [10.1.0.2, 1.1.1.1, 1.1.1.2, 1.1.1.3]",
        "nodes use 3 name servers, this is one more",
    ),
    "a name server twice": (DNS, "dns: [10.1.0.2, 10.1.0.2]", "10.1.0.2 stands twice"),
    "CoreDNS itself": (DNS, "dns: [10.4.0.10]", "in the service range of one: CoreDNS would ask itself"),
    "a pod as name server": (DNS, "dns: [10.3.1.5]", "in the pod range of one: CoreDNS would ask itself"),
    "the VIP as name server": (DNS, "dns: [10.1.0.10]", "the VIP of one, where the API server is"),
    **{
        f"name server {at}": (DNS, f"dns: [{at}]", f"this is {kind}")
        for at, kind in (
            ("127.0.0.53", "loopback"),
            ("224.0.0.1", "multicast"),
            ("0.0.0.0", "unspecified"),
            ("255.255.255.255", "reserved"),
        )
    },
    "loopback as a network": ("bmc: {cidr: 10.2.0.0/16}", "bmc: {cidr: 127.0.0.0/8}", "this is loopback"),
    "multicast pods": (NETWORK, "{pods: 239.0.0.0/16, services: 10.4.0.0/16}", "this is multicast"),
    "time server of two lines": (DNS, f'{DNS}, ntp: ["a\\nserver b"]', "is not a host name in lower case"),
    "time server in capitals": (DNS, f"{DNS}, ntp: [NTP.x]", "write ntp.x"),
    "serial of two lines": ("serial: S4", 'serial: "S4\\nx"', "is not a serial number"),
    "serial that is a template": ("serial: S4", "serial: '{{ x }}'", "is not a serial number"),
    "disk of a path": ("serial: S4,", "serial: S4, disk: {serial: '../x\\'},", "is not a serial number"),
    "VIP that ends in 0": (VIP, "{vip: 10.1.1.0}", "the VIP 10.1.1.0 ends in .0"),
    "VIP is the network": (VIP, "{vip: 10.1.0.0}", "the VIP 10.1.0.0 is the first or last of the network nodes"),
    "VIP is everybody": (VIP, "{vip: 10.1.255.255}", "the VIP 10.1.255.255 is the first or last of the network nodes"),
    "port of the kubelet": (VIP, "{vip: 10.1.0.10, port: 10250}", "port 10250 of every node is the kubelet's"),
    "port that nobody serves": (
        f"{VIP}\n      control_plane: {{hosts: [a, b, c]}}",
        "{port: 8443}\n      control_plane: {hosts: [a]}",
        "the one control plane of one serves its API at port 6443",
    ),
    "services without room": (NETWORK, "{pods: 10.3.0.0/16, services: 10.4.0.0/29}", "no room for CoreDNS"),
    "one port for two": (
        "{address: 10.1.0.2}",
        "{address: 10.1.0.2, http_port: 5000}",
        "port 5000 already serves files",
    ),
    "merge key": (LABEL, "labels: {<<: {role: worker}}", "merge keys .<<. are not read here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_its_place_and_reason(complaint, case):
    """One complaint says what the program would have made of it."""
    old, new, expected = REFUSED[case]
    found = complaint(old, new)
    assert any(re.search(expected, text) for text in found), "\n".join(found)


def test_one_thing_is_no_several(complaint):
    """Numbers and nouns agree."""
    found = complaint("pods: 10.3.0.0/16", "pods: 10.3.0.0/24")
    assert any("10.3.0.0/24 has 1 range of /24, one has 4 nodes" in text for text in found)


def test_nobody_is_asked_whether_they_meant_what_they_wrote():
    """The nearest name to a wrong one is another."""
    assert did_you_mean("nodes", ["nodes", "node"]) == "did you mean 'node'?"
    assert did_you_mean("nodes", ["nodes"]) == ""
