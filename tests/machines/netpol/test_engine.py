"""What enforces NetworkPolicy with the plug-in routed, on the kernel of the node image, told by a real API server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmk.artifacts.mirror import open_mirror
from bmk.hardening.network import DENY, denials
from bmk.paths import cache_dir
from tests.services.hardening.conftest import ADMIN, Server, free_port, load_version, start, stop

pytestmark = pytest.mark.machines
PODS = {"web": 2, "friend": 3, "stranger": 4}
DEADLINE = 420  # seconds; a machine under emulation beside other tests


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The API, with three pods on the node that the machine stands for."""
    found = Server(tmp_path_factory.mktemp("api"), free_port(), free_port(), load_version())
    running = start(found)
    try:
        for name, number in PODS.items():
            _pod(found, name, f"10.89.1.{number}")
        yield found
    finally:
        stop(running)


def _pod(server: Server, name: str, address: str) -> None:
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    spec = {"nodeName": "node-1", "containers": [{"name": "c", "image": "x"}], "automountServiceAccountToken": False}
    made = server.kubectl(
        "create", "-f", "-", send={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )
    assert made.returncode == 0, made.stderr
    status = f'{{"status": {{"phase": "Running", "podIP": "{address}", "podIPs": [{{"ip": "{address}"}}]}}}}'
    put = server.kubectl("patch", "pod", name, "-n", "default", "--subresource=status", "--type=merge", "-p", status)
    assert put.returncode == 0, put.stderr


@pytest.fixture(scope="module")
def console(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the machine says, from its first line on."""
    place = tmp_path_factory.mktemp("machine")
    log, initrd = place / "console.log", _initrd(server, place / "root")
    kernel = open_mirror().file("install-kernel").check().local
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
    command += ["-m", "1024", "-display", "none", "-no-reboot", "-serial", f"file:{log}", "-kernel", str(kernel)]
    command += ["-initrd", str(initrd), "-append", "console=ttyS0,115200 quiet rdinit=/init panic=-1"]
    command += ["-nic", "user,model=virtio-net-pci,net=192.0.2.0/24,host=192.0.2.10"]
    machine = subprocess.Popen(command)
    try:
        yield log
    finally:
        machine.kill()
        machine.wait()


def _initrd(server: Server, root: Path) -> Path:
    """busybox, two programs with their libraries, the kernel's modules, the engine and what lets it into the API."""
    for name in ("bin", "proc", "sys", "dev", "etc", "var/run/secrets/kubernetes.io/serviceaccount"):
        (root / name).mkdir(parents=True)
    shutil.copy(_tool("busybox"), root / "bin/busybox")
    (root / "etc/nsswitch.conf").write_text("hosts: files\n")  # a static program dies of any other
    for name in ("ip", "nft"):
        _with_libraries(_tool(name), root)
    _modules(root)
    engine = open_mirror().file("kube-network-policies").check().local
    shutil.copy(engine, root / "kube-network-policies")
    account = root / "var/run/secrets/kubernetes.io/serviceaccount"
    (account / "token").write_text(ADMIN)
    shutil.copy(server.directory / "certs/apiserver.crt", account / "ca.crt")
    (root / "settings").write_text(f"KUBERNETES_SERVICE_PORT={server.port}\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n")
    shutil.copy(Path(__file__).with_name("init"), root / "init")
    (root / "init").chmod(0o755)
    packed = root.with_suffix(".cpio")
    pack = "find . | cpio --quiet -o -H newc"
    packed.write_bytes(subprocess.run(["sh", "-c", pack], cwd=root, check=True, capture_output=True).stdout)
    return packed


def _tool(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {name}")
    return Path(found)


def _with_libraries(program: Path, root: Path) -> None:
    lines = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    found = [word for line in lines for word in line.split() if word.startswith("/")]
    for path in (str(program), *found):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "bin" / program.name).unlink(missing_ok=True)


def _modules(root: Path) -> None:
    """Of the kernel that nodes run: what the image was made of is in the cache, or the test has nothing to test."""
    trees = sorted((cache_dir() / "build/debian").glob("node-*.tar"))
    if not trees:
        pytest.skip("the tree of the node image is not in the cache any more; next: bmk image build")
    listed = subprocess.run(["tar", "-tf", str(trees[-1])], check=True, capture_output=True, text=True).stdout.split()
    wanted = [path for path in listed if path.endswith("/modules.dep") or (path.endswith(".ko.xz") and _is_net(path))]
    subprocess.run(["tar", "-xf", str(trees[-1]), "-C", str(root), *wanted], check=True)
    for packed in root.rglob("*.ko.xz"):
        subprocess.run(["xz", "-d", str(packed)], check=True)
    (root / "lib").mkdir(exist_ok=True)
    (root / "lib/modules").symlink_to("../usr/lib/modules")
    (needs,) = (root / "usr").rglob("modules.dep")
    needs.write_text(needs.read_text().replace(".ko.xz", ".ko"))


def _is_net(path: str) -> bool:
    places = ("/net/netfilter/", "/net/ipv4/", "/net/ipv6/", "/virtio", "/crc32c", "/libcrc32c", "/veth.", "failover.")
    return any(place in path for place in places)


def said(console: Path, words: str) -> None:
    """Wait until the machine's last word is this."""
    end = time.monotonic() + DEADLINE
    while True:
        text = console.read_text(errors="replace") if console.exists() else ""
        last = [line for line in text.splitlines() if line.startswith("@@")][-1:]
        if last and words in last[0]:
            return
        assert time.monotonic() < end, f"never: {words}\n{text[-3000:]}"
        time.sleep(0.5)


def _allow(name: str, who: str) -> dict[str, Any]:
    spec = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": who}}}]}],
    }
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def test_a_policy_holds_as_long_as_it_is_there(server: Server, console: Path) -> None:
    """Everybody is let in; then the friend alone, and the node's own probes; then everybody again."""
    said(console, "engine=on friend=yes stranger=yes host=yes")
    assert server.kubectl("create", "-f", "-", send=_allow("friends-only", "friend")).returncode == 0
    said(console, "engine=on friend=yes stranger=no host=yes")
    assert server.kubectl("delete", "networkpolicy", "friends-only", "-n", "default").returncode == 0
    said(console, "engine=on friend=yes stranger=yes host=yes")


def test_where_everything_is_denied_only_the_nodes_own_probes_pass(server: Server, console: Path) -> None:
    """What bmk puts into a namespace of `network.deny` cuts every pod off, and the kubelet still asks them."""
    (denial,) = denials(["default"])
    assert server.kubectl("create", "-f", "-", send=denial).returncode == 0
    said(console, "engine=on friend=no stranger=no host=yes")
    assert server.kubectl("delete", "networkpolicy", DENY, "-n", "default").returncode == 0
