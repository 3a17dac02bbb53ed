"""The boot server: four servers that answer, kept apart, each with few rights."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    test_files,
    test_packages,
    test_units,
)

SERVERS = ("bmk-boot-service", "bmk-dnsmasq", "bmk-nginx", "bmk-registry")
STRANGER = "setpriv --reuid 65534 --regid 65534 --clear-groups"


@pytest.fixture
def site(recorded: Callable[[str], Any]) -> str:
    """Directory of the data center: journal, keys, and `boot` for the servers."""
    found = [i["path"] for i in recorded("files") if i["path"].endswith("/boot/nginx.conf")]
    return str(found[0].removesuffix("/boot/nginx.conf"))


@pytest.fixture
def listening(host: Any) -> dict[str, set[str]]:
    """Addresses by name of the process."""
    found: dict[str, set[str]] = {}
    for line in host.check_output("ss -Hlntup").splitlines():
        for name in set(re.findall(r'\("([^"]+)"', line)):
            found.setdefault(name, set()).add(line.split()[4])
    return found


def test_each_has_a_user_of_its_own(host: Any) -> None:
    """None is root, no two share one: what enters one does not have the others."""
    users = host.check_output(
        f"for u in {' '.join(SERVERS)}; do stat -c %U /proc/$(systemctl show -P MainPID $u)/cmdline; done"
    ).split()
    assert len(set(users) - {"root"}) == len(SERVERS), f"users: {', '.join(users)}"


def test_dhcp_and_tftp_are_heard(listening: dict[str, set[str]]) -> None:
    """dnsmasq has the ports that firmware asks."""
    ports = {address.rpartition(":")[2] for address in listening.get("dnsmasq", ())}
    assert {"67", "69"} <= ports, f"dnsmasq hears {', '.join(sorted(ports)) or 'nothing'}"


def test_files_are_served(host: Any, listening: dict[str, set[str]]) -> None:
    """nginx answers, and the boot service behind it."""
    answers = [host.run(f"curl -sf --max-time 10 http://{at}/healthz").stdout for at in listening.get("nginx", ())]
    assert any(answer.startswith("ok ") for answer in answers), f"nginx on {listening.get('nginx')}: {answers}"


def test_images_are_served(host: Any, listening: dict[str, set[str]], site: str) -> None:
    """The registry answers as one, with the certificate that nodes know it by."""
    places = listening.get("docker-registry", set()) | listening.get("registry", set())
    ask = f"curl -s --cacert {site}/boot/registry.crt -o /dev/null -w '%{{http_code}}' --max-time 10"
    codes = [host.run(f"{ask} https://{at}/v2/").stdout for at in places]
    assert "200" in codes, f"registry on {places or 'no port'}: {codes}"


def test_strangers_cannot_enter(host: Any, site: str) -> None:
    """Journal, keys and the boot service's socket are for its users only."""
    said = host.run(f"{STRANGER} ls {site}; {STRANGER} curl -s --unix-socket {site}/boot/service.sock http://x/healthz")
    assert not said.stdout, said.stdout
    assert said.rc != 0, "a stranger reaches the boot service"


def test_each_may_do_little(host: Any) -> None:
    """systemd's own judgement of each sandbox: at most 2.5 of 10 are left open."""
    ask = f"for u in {' '.join(SERVERS)}; do systemd-analyze security --no-pager $u.service; done"
    rated = re.findall(r"exposure level for (\S+): ([\d.]+)", host.run(ask).stdout)
    assert len(rated) == len(SERVERS), f"systemd rates {rated}"
    nothing([f"{name} {rate}" for name, rate in rated if float(rate) > 2.5])
