"""Parts of Debian packages for images: unpacked (never installed) by mmdebstrap, and only what runs is kept."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bmk.artifacts.node.sources import find_mirror
from bmk.artifacts.tar import TarEntry
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
ARCHIVE = "packages.tar"
_LINE = 1000  # bytes of a changelog's first line
PROGRAMS = frozenset({"nft", "xtables-nft-multi", "conntrack"})


def unpack(suite: str, packages: Sequence[str], into: Path) -> Path:
    """Packages with their dependencies, unpacked into one tar in `into`. Raises BmkError with mmdebstrap's reason."""
    target = into / ARCHIVE
    command = ["mmdebstrap", "--quiet", "--format=tar", "--variant=extract", f"--include={','.join(packages)}"]
    command += ["--", suite, "-", *find_mirror().lines(suite)]
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


def source_packages(changelogs: Iterable[bytes]) -> list[str]:
    """`source=version` of each package, from its changelog: unpacked packages leave no other record."""
    lines = (
        gzip.GzipFile(fileobj=io.BytesIO(packed)).readline(_LINE).decode(errors="replace") for packed in changelogs
    )
    found = (re.match(r"([a-z0-9][a-z0-9+.-]*) \(([\w.+:~-]+)\)", line) for line in lines)
    return sorted({f"{match[1]}={match[2]}" for match in found if match})


def is_changelog(path: str) -> bool:
    """Of a package, in a tree or a tar of them; packages that are Debian's own have no other changelog."""
    return re.search(r"usr/share/doc/[^/]+/changelog(\.Debian)?\.gz$", path) is not None


def unpacked_packages(archive: Path) -> list[str]:
    """`source=version` of what `unpack` unpacked."""
    with tarfile.open(archive) as tar:
        named = [member for member in tar.getmembers() if member.isreg() and is_changelog(member.name)]
        streams = [tar.extractfile(member) for member in named]
        return source_packages(stream.read() for stream in streams if stream is not None)


def entries(archive: Path, into: Path, keep: Mapping[str, str]) -> list[TarEntry]:
    """Members of the unpacked packages as entries of a layer. `keep`: path in the image -> path in the packages."""
    with tarfile.open(archive) as tar:
        if keep:
            return [_named(tar, into, path, source) for path, source in keep.items()]
        return list(_running(tar, into))


def _named(tar: tarfile.TarFile, into: Path, path: str, source: str) -> TarEntry:
    member = tar.getmember(f"./{source}")
    return TarEntry(path, source=_extract(tar, member, into), mode=0o755)


def _running(tar: tarfile.TarFile, into: Path) -> Iterator[TarEntry]:
    for member in tar.getmembers():
        path = member.name.removeprefix("./")
        if not path.startswith(KEPT) or path.startswith(DROPPED) or member.isdir():
            continue
        if path.startswith(("usr/bin/", "usr/sbin/")) and Path(path).name not in PROGRAMS:
            continue
        if member.issym():
            yield TarEntry(f"/{path}", link=member.linkname)
        elif member.isfile() or member.islnk():
            yield TarEntry(f"/{path}", source=_extract(tar, member, into), mode=member.mode & 0o755)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> Path:
    target = into / f"member-{member.offset_data}"
    stream = tar.extractfile(member)
    if stream is None:
        raise BmkError(f"{member.name} is not a file", where=str(tar.name))
    with target.open("wb") as out:
        while block := stream.read(1 << 20):
            out.write(block)
    return target
