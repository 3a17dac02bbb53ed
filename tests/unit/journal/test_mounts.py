"""Where the kernel says that a directory lies: SQLite's journal needs a file system of this machine alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.errors import PreflightRefused
from bmk.journal.mounts import network_filesystem
from bmk.journal.sqlite import _require_local

LOCAL = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:40 / /run rw,nosuid - tmpfs tmpfs rw
31 22 0:41 / /srv rw - fuseblk /dev/sdb1 rw
32 22 0:42 / /home rw,relatime shared:9 master:1 - nfs4 nas:/home rw
33 32 254:9 / /home/ann rw - xfs /dev/vdb rw
34 22 0:43 / /mnt/with\\040space rw - cifs //nas/x rw
35 22 0:44 / /over rw - ext4 /dev/vdc rw
36 35 0:45 / /over rw - ceph mon:/ rw
37 22 0:46 / /remote rw - fuse.sshfs nas: rw
38 22 0:47 / /weird rw - fuse.portal portal rw
not a line of this table
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/var/lib/bmk/par", None),
        ("/run/bmk", None),
        ("/srv/bmk", None),
        ("/home/bob/.local/state/bmk", "nfs4"),
        ("/home", "nfs4"),
        ("/home/ann/.local/state/bmk", None),
        ("/homework", None),
        ("/mnt/with space/bmk", "cifs"),
        ("/mnt", None),
        ("/over/bmk", "ceph"),
        ("/remote", "fuse.sshfs"),
        ("/weird", None),
    ],
)
def test_the_mount_that_holds_a_directory_decides(directory: str, kind: str | None) -> None:
    """The deepest mount counts, of two over one another the later, and a name that only begins alike does not."""
    assert network_filesystem(Path(directory), LOCAL) == kind


@pytest.mark.parametrize("kind", ["9p", "afs", "ceph", "cifs", "fuse.glusterfs", "lustre", "nfs", "nfs4", "smb3"])
def test_network_file_systems_are_refused_with_the_way_on(kind: str, tmp_path: Path) -> None:
    """Before anything is written: what, why, and the two ways out."""
    with pytest.raises(PreflightRefused) as caught:
        _require_local(tmp_path, lambda: f"22 1 0:1 / / rw - {kind} server:/x rw\n")
    assert kind in caught.value.what
    assert "BMK_STATE_DIR" in caught.value.hint
    assert "PostgreSQL" in caught.value.hint
