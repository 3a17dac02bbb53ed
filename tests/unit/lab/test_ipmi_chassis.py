"""What the simulated IPMI BMC says of a machine, in the words of ipmi_sim."""

from __future__ import annotations

from typing import Any

import pytest

from bmk.lab.bmc import ipmi_chassis


def machine(*faults: str, power: str = "on", target: str = "disk", enabled: str = "disabled") -> dict[str, Any]:
    return {"name": "one", "power": power, "boot": {"target": target, "enabled": enabled}, "faults": list(faults)}


def test_power_and_boot_are_in_its_words() -> None:
    """1 and 0; pxe, default, or none without an override; a lying BMC says off."""
    assert [ipmi_chassis.show(machine(power=p), "power") for p in ("on", "off")] == ["1", "0"]
    assert ipmi_chassis.show(machine("bmc-power-lies"), "power") == "0"
    assert ipmi_chassis.show(machine(), "boot") == "none"
    assert ipmi_chassis.show(machine(target="pxe", enabled="once"), "boot") == "pxe"
    assert ipmi_chassis.show(machine(target="disk", enabled="once"), "boot") == "default"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Requests that would go to the lab's control socket."""
    found: list[tuple[str, dict[str, Any]]] = []
    machines = {"machines": [machine(), {**machine("bmc-503"), "name": "busy"}]}

    def request(dc: str, op: str, **arguments: Any) -> dict[str, Any]:
        if op != "list":
            found.append((op, arguments))
        return machines

    monkeypatch.setattr(ipmi_chassis, "request", request)
    return found


def test_commands_become_requests(sent: list[tuple[str, dict[str, Any]]]) -> None:
    """Power, reset, shutdown and boot, in the order in which they were given."""
    assert ipmi_chassis.main(["hall", "one", "set", "boot", "pxe", "power", "1"]) == 0
    assert ipmi_chassis.main(["hall", "one", "set", "shutdown", "1"]) == 0
    assert sent == [
        ("boot", {"machine": "one", "target": "pxe", "enabled": "once"}),
        ("power", {"machine": "one", "action": "on"}),
        ("power", {"machine": "one", "action": "press"}),
    ]


@pytest.mark.parametrize(
    "words", [["none", "get", "power"], ["busy", "get", "power"], ["one", "get", "fan"], ["one", "set", "fan", "1"]]
)
def test_what_cannot_be_done_fails(
    sent: list[tuple[str, dict[str, Any]]], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown machine or word, or a busy BMC: exit status 1 with a text, and nothing sent."""
    assert ipmi_chassis.main(["hall", *words]) == 1
    assert capsys.readouterr().out.strip()
    assert sent == []
