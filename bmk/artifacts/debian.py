"""Parts of Debian packages for images: unpacked (never installed) by mmdebstrap, and only what runs is kept."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bmk.artifacts.node.sources import find_mirror
from bmk.artifacts.tar import Entry
from bmk.errors import BmkError

# What a program needs at run time: itself, libraries and their data. Not: character sets, documentation, scripts.
KEPT = (
    "usr/bin/",
    "usr/sbin/",
    "usr/lib/x86_64-linux-gnu/",
    "usr/lib64/",
    "lib64/",
    "etc/nftables.conf",
    "etc/ethertypes",
    "etc/protocols",
    "etc/services",
)
DROPPED = ("usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/audit/")
PROGRAMS = frozenset({"nft", "xtables-nft-multi", "conntrack"})


def unpack(suite: str, packages: Sequence[str], into: Path) -> Path:
    """Packages with their dependencies, unpacked into one tar in `into`. Raises BmkError with mmdebstrap's reason."""
    target = into / "packages.tar"
    command = ["mmdebstrap", "--quiet", "--format=tar", "--variant=extract", f"--include={','.join(packages)}"]
    command += [suite, "-", *find_mirror().lines(suite)]
    with target.open("wb") as out:  # by stdout: in its namespace mmdebstrap may not write where we may
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BmkError(
            f"could not unpack {', '.join(packages)} from Debian {suite}",
            where="mmdebstrap",
            why=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}",
            hint="check that this machine's apt sources answer (apt-get update), or set BMK_DEBIAN_MIRROR",
        )
    return target


def entries(archive: Path, into: Path, keep: Mapping[str, str]) -> list[Entry]:
    """Members of the unpacked packages as entries of a layer. `keep`: path in the image -> path in the packages."""
    with tarfile.open(archive) as tar:
        if keep:
            return [_named(tar, into, path, source) for path, source in keep.items()]
        return list(_running(tar, into))


def _named(tar: tarfile.TarFile, into: Path, path: str, source: str) -> Entry:
    member = tar.getmember(f"./{source}")
    return Entry(path, source=_extract(tar, member, into), mode=0o755)


def _running(tar: tarfile.TarFile, into: Path) -> Iterator[Entry]:
    for member in tar.getmembers():
        path = member.name.removeprefix("./")
        if not path.startswith(KEPT) or path.startswith(DROPPED) or member.isdir():
            continue
        if path.startswith(("usr/bin/", "usr/sbin/")) and Path(path).name not in PROGRAMS:
            continue
        if member.issym():
            yield Entry(f"/{path}", link=member.linkname)
        elif member.isfile() or member.islnk():
            yield Entry(f"/{path}", source=_extract(tar, member, into), mode=member.mode & 0o755)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> Path:
    target = into / f"member-{member.offset_data}"
    stream = tar.extractfile(member)
    if stream is None:
        raise BmkError(f"{member.name} is not a file", where=str(tar.name))
    with target.open("wb") as out:
        while block := stream.read(1 << 20):
            out.write(block)
    return target
