"""The network boot of machines without firmware: the question that iPXE asks, and the order in its answer."""

from __future__ import annotations

from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st

from bmk.datacenter.resolve import DataCenter
from bmk.lab.machines.firmware import parse, query
from bmk.lab.machines.hardware import hardware_of

SCRIPT = """#!ipxe
echo installing one
kernel http://10.1.0.2/install/abc/vmlinuz bmk.url=http://10.1.0.2 bmk.grant=abc bmk.host=one || goto local
:local
"""


def test_the_question_names_the_machine(hall: DataCenter) -> None:
    """MAC, serial, UUID and platform, as the first script of iPXE sends them."""
    machines = hardware_of(hall)
    asked = {name: parse_qs(query(hardware)) for name, hardware in machines.items()}
    assert asked["one"]["mac"] == ["52:54:00:00:00:01"]
    assert (asked["one"]["platform"], asked["two"]["platform"]) == (["efi"], ["pcbios"])
    assert asked["two"]["serial"] == ["S2"]


def test_a_script_with_an_installer_is_an_order() -> None:
    """The grant in the kernel's line is the order; without it the machine boots its disk."""
    answer = parse(SCRIPT)
    assert answer.said == ("installing one",)
    assert answer.order is not None
    assert answer.order.grant == "abc"
    assert parse("#!ipxe\necho nothing to do\nexit\n").order is None


@given(st.text(max_size=80))
def test_no_other_text_is_an_order(text: str) -> None:
    """A machine installs nothing for an answer that is not the boot service's."""
    assert parse(text).order is None
