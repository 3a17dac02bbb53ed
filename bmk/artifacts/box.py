"""The node image as a Vagrant box for libvirt: the same bytes that data centers install, and a few files on top.

An installed node gets its identity from the install agent. A box has no agent: it asks DHCP for its address, makes its
own ssh host keys at the first start, prints them on the console, and accepts the key pair that was made with the box.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bmk import programs
from bmk.artifacts.content import replacing, require_digest, sha256_file, sha256_of
from bmk.artifacts.mirror import FileArtifact, Mirror
from bmk.artifacts.node.disk import ROOT_START, SECTOR
from bmk.artifacts.node.tree import SUITE, run_tool, tools_tree
from bmk.artifacts.work import alone
from bmk.errors import BmkError
from bmk.paths import cache_dir, private_dir

NAME = "bmk/node"
DISK = 12 << 30  # bytes; the file system fills it
RECIPE = 2  # raise it when the way of making changes
KEY_MARK = "bmk-host-key:"  # what comes before a public host key on the console

_NETWORK = "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n\n[DHCPv4]\nClientIdentifier=mac\n"
_UNIT = f"""\
[Unit]
Description=ssh host keys of a Vagrant box
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cd /etc/ssh; test -e ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N "" -f ssh_host_ed25519_key'
ExecStart=/bin/sh -c 'echo "{KEY_MARK} $$(cat /etc/ssh/ssh_host_ed25519_key.pub)" > /dev/ttyS0'

[Install]
WantedBy=multi-user.target
"""  # noqa: E501 - a line of a unit is a line
_VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.ssh.username = "root"
  config.ssh.insert_key = false
  config.ssh.private_key_path = File.expand_path("id_ed25519", __dir__)
  config.ssh.sudo_command = "%c" # one is root there, and the node image has no sudo
  config.vm.synced_folder ".", "/vagrant", disabled: true
end
"""


@dataclass(frozen=True, slots=True)
class Box:
    """`catalog` is what Vagrant's `box_url` names, with the digest of `file`. `key` is the private key that logs in."""

    version: str
    file: Path
    catalog: Path
    key: Path

    def check(self) -> Box:
        """Hash the box. Raises DigestMismatch before anything is made of it."""
        version = json.loads(self.catalog.read_text())["versions"][0]
        expected = version["providers"][0]["checksum"]
        require_digest(self.file, expected, name=f"the box {NAME}", hint=f"rm -r {self.file.parent}; it is made again")
        return self


def box_of(mirror: Mirror) -> Box:
    """Where the box of the mirror's node image is, or will be: a place of its own for each image and recipe."""
    version = sha256_of([RECIPE, mirror.file("node-image").sha256, DISK, _overlay(""), _VAGRANTFILE])[:12]
    directory = cache_dir() / "boxes" / version
    return Box(f"0.{int(version, 16)}.0", directory / "node.box", directory / "node.json", directory / "id_ed25519")


def make_box(mirror: Mirror, say: Callable[[str], None]) -> Box:
    """The box of the mirror's node image; made once (a minute), then found in the cache.

    A lock keeps two processes from mixing the key of one with the box of the other.
    """
    box = box_of(mirror)
    if not box.catalog.exists():
        with alone(say):
            _make_once(box, mirror.file("node-image"), say)
    return box


def _make_once(box: Box, image: FileArtifact, say: Callable[[str], None]) -> None:
    if box.catalog.exists():
        return  # another process made it meanwhile
    programs.require(programs.PROGRAMS["box"])
    say(f"Vagrant box of node image {image.version}")
    private_dir(box.file.parent)
    with TemporaryDirectory(prefix="bmk-box-", dir=box.file.parent) as work:
        _make(box, image.check().local, Path(work))


def _make(box: Box, image: Path, work: Path) -> None:
    key = work / "id_ed25519"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bmk box", "-f", key)
    tools = tools_tree(cache_dir() / "build" / "debian", SUITE)
    raw = _grown(image, tools, work, _overlay(key.with_suffix(".pub").read_text()))
    _run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", raw, work / "box.img")
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK >> 30}
    (work / "metadata.json").write_text(json.dumps(about))
    (work / "Vagrantfile").write_text(_VAGRANTFILE)
    with replacing(box.file) as part, tarfile.open(part, "w") as tar:
        for name in ("metadata.json", "Vagrantfile", "id_ed25519", "box.img"):
            tar.add(work / name, name)
    key.replace(box.key)
    provider = {
        "name": "libvirt",
        "url": box.file.as_uri(),
        "checksum_type": "sha256",
        "checksum": sha256_file(box.file),
    }
    catalog = {"name": NAME, "versions": [{"version": box.version, "providers": [provider]}]}
    with replacing(box.catalog) as part:
        part.write_text(json.dumps(catalog, indent=1))


def _grown(image: Path, tools: Path, work: Path, files: Mapping[str, str]) -> Path:
    """The image's disk at its full size, with `files` in its root."""
    raw, root = work / "disk.raw", work / "root.ext4"
    with raw.open("wb") as out:
        if subprocess.run(["zstd", "-q", "-d", "-c", image], stdout=out, check=False).returncode != 0:
            raise BmkError("the node image cannot be unpacked", where=str(image))
    end = DISK - (1 << 20)
    _run("dd", f"if={raw}", f"of={root}", "bs=1M", f"skip={ROOT_START >> 20}", "conv=sparse", "status=none")
    os.truncate(root, end - ROOT_START)
    run_tool(tools, "usr/sbin/resize2fs", "-f", root)
    _write_files(root, tools, work, files)
    os.truncate(raw, ROOT_START)
    os.truncate(raw, DISK)
    _run("sgdisk", "-e", "-d", "3", "-n", f"3:{ROOT_START // SECTOR}:0", raw)
    _run("dd", f"if={root}", f"of={raw}", "bs=1M", f"seek={ROOT_START >> 20}", "conv=sparse,notrunc", "status=none")
    return raw


def _write_files(root: Path, tools: Path, work: Path, files: Mapping[str, str]) -> None:
    # a name in a file would win over the one that a machine is started with
    script = ["rm /etc/hostname", "mkdir /root/.ssh", "sif /root/.ssh mode 040700"]
    for number, (name, text) in enumerate(files.items()):
        local = work / f"file{number}"
        local.write_text(text)
        script += [f"write {local} {name}", f"sif {name} mode 0100{'600' if name.startswith('/root') else '644'}"]
        script += [f"sif {name} uid 0", f"sif {name} gid 0"]
    wants = "/etc/systemd/system/multi-user.target.wants/bmk-box.service"
    script.append(f"symlink {wants} /etc/systemd/system/bmk-box.service")
    (work / "script").write_text("\n".join(script) + "\n")
    run_tool(tools, "usr/sbin/debugfs", "-w", "-f", work / "script", root)


def _overlay(public_key: str) -> dict[str, str]:
    return {
        "/etc/systemd/network/90-box.network": _NETWORK,
        "/etc/systemd/system/bmk-box.service": _UNIT,
        "/root/.ssh/authorized_keys": public_key,
    }


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BmkError(f"{words[0]} failed", why=done.stderr.strip()[-300:], hint="is there room on the disk?")
