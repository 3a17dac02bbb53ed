"""On which kind of file system a directory lies, from the kernel's table of mounts. Pure."""

from __future__ import annotations

import re
from pathlib import Path

# Types of mounts whose files several machines share. A `fuse.` type is named by the program behind it.
_NETWORK = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs",
    "fuse.beegfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.goofys", "fuse.juicefs", "fuse.mfs", "fuse.quobyte", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs",
    "fuse.smbnetfs", "fuse.sshfs",
))  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_filesystem(directory: Path, mountinfo: str) -> str | None:
    """The type of the network file system on which an absolute path without symbolic links lies; None on a local one.

    `mountinfo` is the text of /proc/self/mountinfo: of mounts over one another the last line counts.
    """
    found, depth = None, -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), fields[4]))
        if directory.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = after.split()[0], len(point.parts)
    return found if found in _NETWORK else None
