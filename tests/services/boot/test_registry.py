"""The real containerd asks for an image by its tag, with the files that the role writes; somebody else may answer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from bmk.artifacts import oci
from bmk.artifacts.lock import Image
from bmk.artifacts.mirror import open_mirror
from bmk.artifacts.registry import Registry
from bmk.artifacts.tar import TarEntry
from bmk.boot import registry, server
from bmk.errors import BmkError
from bmk.paths import content_dir
from bmk.secrets.certificate import self_signed
from tests.services.boot.conftest import Boot, Room, until

TEMPLATE = content_dir() / "roles/container_runtime/templates/hosts.toml.j2"
Pull = Callable[[], tuple[int, str]]


def program(name: str) -> str:
    try:
        path = open_mirror().file(name).check().local
    except BmkError as error:
        pytest.skip(f"{error.what}: {error.why}")
    return str(path)


@pytest.fixture
def pull(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """A node with containerd that pulls the image `tool:1` by its tag; the cache of the deployer holds it."""
    ctr, containerd = program("ctr"), program("containerd")
    monkeypatch.setenv("BMK_CACHE_DIR", str(boot.state / "cache"))
    storage, work = Registry(boot.state / "cache" / "registry"), boot.state / "work"
    work.mkdir()
    image = Image(tag="1", entrypoint=("/tool",))
    oci.make("tool", image, [[TarEntry("/tool", data=b"the real one", mode=0o755)]], work, storage)
    boot.start("boot-service", "nginx", "registry")
    place, (_, node) = f"{boot.address}:5000", boot.host("cp-1")
    until(lambda: "LISTEN" in boot.room.run("ss", "-Hltn", "sport = :5000"), "the registry listens")
    settings, socket = _node(boot, node, place, containerd)

    def pull() -> tuple[int, str]:
        argv = [ctr, "-a", socket, "content", "fetch", "--hosts-dir", settings, f"{place}/tool:1"]
        done = subprocess.run(node._inside(argv), capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return pull


def _node(boot: Boot, node: Room, place: str, containerd: str) -> tuple[str, str]:
    """What a converge leaves on a node, below a directory of its own, and its daemon."""
    etc = boot.state / "etc"
    certificate = server.registry_certificate(boot.dc, boot.state)
    text = jinja2.Template(TEMPLATE.read_text()).render(container_runtime_registry=place)
    for path, content in (("registry.crt", certificate), ("certs.d/_default/hosts.toml", text)):
        (etc / path).parent.mkdir(parents=True, exist_ok=True)
        (etc / path).write_text(content.replace("/etc/containerd", str(etc)))
    run, socket = boot.state / "run", str(boot.state / "c.sock")
    configuration = etc / "config.toml"
    configuration.write_text(
        f"version = 4\nroot = '{run}/root'\nstate = '{run}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n"
        f"[plugins.'io.containerd.server.v1.grpc']\n  address = '{socket}'\n"
        f"[plugins.'io.containerd.server.v1.ttrpc']\n  address = '{socket}.ttrpc'\n"
    )
    node.start(containerd, "--config", str(configuration), log=boot.state / "containerd.out")
    until(Path(socket).exists, f"containerd answers; see {boot.state}/containerd.out", 60)
    return str(etc / "certs.d"), socket


def test_a_node_takes_an_image_from_the_registry_that_it_knows(pull: Pull, boot: Boot) -> None:
    """By its tag, over TLS, from the server whose certificate came with the converge; nothing else listens there."""
    assert pull()[0] == 0, pull()[1]
    boot.running.pop("registry").kill()


@pytest.mark.parametrize("speaks", ["http", "https"])
def test_a_node_pulls_nothing_from_another_server_at_the_registrys_address(pull: Pull, boot: Boot, speaks: str) -> None:
    """Who has the registry's address, in the clear or with a certificate of his own for it, gives a node no byte."""
    running = boot.running.pop("registry")
    running.kill()
    running.wait()
    storage, work = Registry(boot.state / "liar"), boot.state / "work"
    image = Image(tag="1", entrypoint=("/tool",))
    oci.make("tool", image, [[TarEntry("/tool", data=b"another one", mode=0o755)]], work, storage)
    lying = boot.state / "lying"
    lying.mkdir()
    text = registry.render(lying, storage.root, boot.address, 5000)
    if speaks == "https":
        self_signed(lying / registry.PRIVATE, "bmk registry", [boot.address])
    else:
        text = "".join(line for line in text.splitlines(keepends=True) if "tls:" not in line)
    (lying / "registry.yml").write_text(text)
    boot.room.start("docker-registry", "serve", str(lying / "registry.yml"), log=lying / "out")
    scheme = ["-k", f"https://{boot.address}:5000"] if speaks == "https" else [f"http://{boot.address}:5000"]
    ask = ("curl", "-s", *scheme[:-1], f"{scheme[-1]}/v2/tool/tags/list")
    until(lambda: '"1"' in boot.room.run(*ask, check=False), f"the liar serves tool:1; see {lying}/out")
    code, said = pull()
    assert code != 0, said
    refused = "certificate signed by unknown authority" if speaks == "https" else "gave HTTP response to HTTPS client"
    assert refused in said


def test_the_key_is_its_servers_alone_and_the_certificate_is_of_the_address(tmp_path: Path) -> None:
    """Started again it is the same, another address makes another; nobody but its user reads the key."""
    registry.identify(tmp_path, "10.20.0.5")
    first = registry.certificate(tmp_path, "10.20.0.5")
    assert (tmp_path / registry.PRIVATE).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" in (tmp_path / registry.PRIVATE).read_text()
    assert "PRIVATE" not in first
    (tmp_path / registry.PUBLIC).unlink()
    registry.identify(tmp_path, "10.20.0.5")
    assert registry.certificate(tmp_path, "10.20.0.5") == first
    assert registry.certificate(tmp_path, "10.20.0.6") == ""
    registry.identify(tmp_path, "10.20.0.6")
    assert registry.certificate(tmp_path, "10.20.0.6") not in ("", first)
