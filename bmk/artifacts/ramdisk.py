"""The install ramdisk: the node image's kernel and a small initramfs with our agent in it.

`python -m bmk.artifacts.ramdisk --out DIR [--cache DIR]`
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import bmk
from bmk.artifacts.content import replacing, sha256_bytes, sha256_of
from bmk.artifacts.debian import is_changelog, source_packages
from bmk.artifacts.drivers import FIRMWARE, depends, firmware, taken
from bmk.artifacts.node.cpio import File, write_cpio
from bmk.artifacts.node.tree import SUITE, member, node_key, node_tree, run_tool, tool, tools_key, tools_tree
from bmk.errors import BmkError
from bmk.paths import cache_dir

_NODE = Path(__file__).parent / "node"
PROGRAMS = (
    "usr/bin/busybox", "usr/bin/kmod", "usr/bin/python3.13", "usr/bin/zstd", "usr/bin/efibootmgr",
    "usr/bin/dropbearkey",
    "usr/sbin/sfdisk", "usr/sbin/blkid", "usr/sbin/wipefs", "usr/sbin/blockdev", "usr/sbin/e2fsck",
    "usr/sbin/resize2fs",
    "usr/sbin/tune2fs", "usr/sbin/mkfs.fat", "usr/sbin/dropbear", "usr/sbin/kexec",
)  # fmt: skip
_LINKS = {
    "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
    "usr/bin/python3": "python3.13", "usr/sbin/modprobe": "../bin/kmod",
    "usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "etc/mtab": "/proc/mounts",
}  # fmt: skip
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shells": "/bin/sh\n",
    "etc/shadow": "root:*:20000::::::\n", "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "hosts: files dns\n", "etc/modprobe.d/bmk.conf": "blacklist ipmi_si\n",
}  # fmt: skip
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
AGENT = ("disks.py", "identity.py", "agent")  # below the package: the agent, and what it shares with bmk
STATIC = "usr/bin/busybox"  # loads nothing, and runs anywhere
_DIRECTORIES = ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "etc/dropbear")


@dataclass(frozen=True, slots=True)
class Ramdisk:
    """What a build made. `version` changes exactly when kernel, tools or agent do."""

    kernel: Path  # install-kernel: bzImage, also an EFI program
    initrd: Path  # install-initrd: cpio, zstd
    packages: Path  # install-packages: source packages that both were taken from
    release: str  # of the kernel
    version: str


def build_ramdisk(
    out: Path, cache: Path | None = None, *, suite: str = SUITE, say: Callable[[str], None] = lambda _: None
) -> Ramdisk:
    """Make `out`/install-kernel and install-initrd from the node image's Debian trees; 15 s when those are cached.

    Needs no root. Raises BmkError with the reason of the tool that failed.
    """
    cache = cache or cache_dir() / "build" / "debian"
    out.mkdir(parents=True, exist_ok=True)
    say(f"Debian {suite}: node's root file system")
    tree = node_tree(cache, suite)
    say(f"Debian {suite}: tools")
    tools = tools_tree(cache, suite)
    say("install ramdisk")
    agent = pack_agent()
    version = sha256_of([node_key(suite), tools_key(suite), sha256_bytes(agent), _recipe()])[:12]
    with TemporaryDirectory(prefix="bmk-ramdisk-", dir=cache) as scratch:
        release, kernel, modules = _kernel(tree, tools, Path(scratch))
        files = {**_static(f"{version}, Linux {release}\n"), **modules, **_python(tools, agent, Path(scratch))}
        files |= dict(_programs(tools, PROGRAMS, [f for f in files if f.endswith(".so")]))
        result = Ramdisk(out / "install-kernel", out / "install-initrd", out / "install-packages", release, version)
        result.packages.write_text("".join(f"{line}\n" for line in _sources(tree, tools)))
        with replacing(result.kernel) as part:
            part.write_bytes(kernel)
        _write_initrd(result.initrd, files, Path(scratch))
    return result


def _sources(tree: Path, tools: Path) -> list[str]:
    """`source=version` of kernel and tools."""
    changelogs = [path for path in tools.glob("usr/share/doc/*/changelog*.gz") if is_changelog(str(path))]
    kernels = [
        line for line in member(tree, "usr/share/bmk-packages").decode().split() if line.startswith("linux-image-")
    ]
    return sorted({*source_packages(path.read_bytes() for path in changelogs), f"linux={kernels[0].partition('=')[2]}"})


def pack_agent() -> bytes:
    """The agent as a zipapp: its package and what it shares with bmk, importable by their usual names."""
    root = Path(bmk.__file__).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        texts = {"bmk/__init__.py": ""}
        packed = [path for name in AGENT for path in sorted((root / name).rglob("*.py")) or [root / name]]
        texts |= {f"bmk/{path.relative_to(root)}": path.read_text() for path in packed}
        texts["__main__.py"] = "from bmk.agent.__main__ import main\n\nmain()\n"
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def _recipe() -> list[str]:
    names = ("modules.txt", "pack_stdlib.py", "ramdisk/init", "ramdisk/network", "ramdisk/udhcpc")
    return [*PROGRAMS, *((_NODE / name).read_text() for name in names)]


def _static(release: str) -> dict[str, File]:
    files = {path: File(link=target) for path, target in _LINKS.items()}
    files |= {path: File(text.encode()) for path, text in _TEXTS.items()}
    files |= {f"{directory}/.keep": File() for directory in _DIRECTORIES}
    files["init"] = File((_NODE / "ramdisk/init").read_bytes(), 0o755)
    files["etc/network"] = File((_NODE / "ramdisk/network").read_bytes())
    files["etc/udhcpc"] = File((_NODE / "ramdisk/udhcpc").read_bytes(), 0o755)
    files["etc/bmk-release"] = File(release.encode())
    return files


def _kernel(tree: Path, tools: Path, scratch: Path) -> tuple[str, bytes, dict[str, File]]:
    """Release, image, the modules we want with what they depend on, and their firmware as far as the node has it."""
    with tarfile.open(tree) as tar:
        wanted = ("./boot/", "./usr/lib/modules/", f"./{FIRMWARE}")
        members = {info.name[2:]: info for info in tar if not info.isdir() and info.name.startswith(wanted)}
        release = next(name for name in members if name.startswith("boot/vmlinuz-")).removeprefix("boot/vmlinuz-")
        base = f"usr/lib/modules/{release}/"
        kernel = _bytes(tar, members[f"boot/vmlinuz-{release}"])
        names = {base + name for name in taken(depends(_bytes(tar, members[base + "modules.dep"]).decode()))}
        chosen = {name: _bytes(tar, members[name]) for name in sorted(names)}
        asked = {FIRMWARE + name for module in chosen.values() for name in firmware(module)}
        loaded = {name: File(_bytes(tar, members[name]), 0o644) for name in sorted(asked & set(members))}
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            chosen[base + name] = _bytes(tar, members[base + name])
    return release, kernel, {**_index(chosen, tools, scratch, release), **loaded}


def _index(chosen: Mapping[str, bytes], tools: Path, scratch: Path, release: str) -> dict[str, File]:
    """The modules with indexes that name nothing else."""
    for name, data in chosen.items():
        path = scratch / "modules" / name.removeprefix("usr/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    loader, *rest = tool(tools, "usr/bin/kmod")
    command = [loader, "--argv0", "depmod", *rest, "-b", str(scratch / "modules"), release]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BmkError("depmod failed", why=done.stderr.strip()[-300:])
    root = scratch / "modules"
    found = (path for path in root.rglob("*") if path.is_file() and path.name not in ("modules.dep", "modules.alias"))
    return {f"usr/{path.relative_to(root)}": File(path.read_bytes()) for path in found}


def _python(tools: Path, agent: bytes, scratch: Path) -> dict[str, File]:
    """The agent, and what it uses of the standard library, compiled: under emulation compiling takes seconds."""
    (scratch / "agent.pyz").write_bytes(agent)
    target = scratch / "stdlib.zip"
    printed = run_tool(
        tools, "usr/bin/python3.13", "-B", "-s", _NODE / "pack_stdlib.py", scratch / "agent.pyz", target,
        PYTHONHOME=str(tools / "usr"), PYTHONPATH="",
    )  # fmt: skip
    files = {str(Path(path).relative_to(tools)): File(Path(path).read_bytes(), 0o755) for path in json.loads(printed)}
    files["usr/lib/python313.zip"] = File(target.read_bytes())
    files["usr/lib/python3.13/lib-dynload/.keep"] = File()
    files["usr/lib/bmk/agent.pyz"] = File(agent)
    return files


def _programs(tools: Path, programs: Iterable[str], extensions: Iterable[str]) -> Iterator[tuple[str, File]]:
    """Programs, their libraries, and links for each of busybox's applets that no real program provides."""
    chosen = list(programs)
    for name in chosen:
        yield name, File((tools / name).read_bytes(), 0o755)
    for library in sorted(
        {lib for name in [*chosen, *extensions] for lib in _libraries(tools, name)} | {"libgcc_s.so.1"}
    ):
        yield f"{_LIBRARIES}/{library}", File((tools / _LIBRARIES / library).read_bytes(), 0o755)
    taken = {Path(name).name for name in [*chosen, *_LINKS]}
    for applet in _applets(tools):
        if applet not in taken and applet not in ("dpkg", "rpm", "init", "linuxrc"):
            yield f"usr/bin/{applet}", File(link="busybox")


def _applets(tools: Path) -> list[str]:
    return subprocess.run([str(tools / STATIC), "--list"], capture_output=True, text=True, check=True).stdout.split()


def _libraries(tools: Path, name: str) -> list[str]:
    """Names of the shared libraries that a program loads; none for a static one."""
    if name == STATIC:
        return []
    libraries = tools / _LIBRARIES
    command = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), "--list", str(tools / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "not found" in done.stdout:
        raise BmkError(f"{name} misses a library", why=(done.stdout + done.stderr).strip()[-300:])
    names = re.findall(r"^\s*(\S+)\s+(?:=>|\()", done.stdout, re.MULTILINE)
    return [Path(found).name for found in names if not found.startswith("linux-vdso")]


def _write_initrd(target: Path, files: Mapping[str, File], scratch: Path) -> None:
    raw = scratch / "initrd.cpio"
    with raw.open("wb") as out:
        write_cpio(out, files)
    with replacing(target) as part:
        command = ["zstd", "-q", "-f", "-12", "-T0", str(raw), "-o", str(part)]
        if subprocess.run(command, check=False).returncode != 0:
            raise BmkError("zstd failed", hint="is there room on the disk?")
        with part.open("ab") as out:
            out.write(bytes(-out.tell() % 4))  # the kernel expects another archive, if any, at a multiple of four


def _bytes(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(info)
    return stream.read() if stream else b""


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Build and print what was made as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bmk.artifacts.ramdisk", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--suite", default=SUITE)
    chosen = parser.parse_args(arguments)
    made = build_ramdisk(chosen.out, chosen.cache, suite=chosen.suite, say=_say)
    sys.stdout.write(
        json.dumps({name: str(getattr(made, name)) for name in made.__dataclass_fields__}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
