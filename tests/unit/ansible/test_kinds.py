"""The batch kinds on real files: what they find, set and record."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import (
    bmk_applied,
    bmk_batch,
    bmk_downloads,
    bmk_groups,
    bmk_kernel_modules,
    bmk_kubeadm_left,
    bmk_kubeadm_once,
    bmk_sections,
    bmk_sysctls,
    bmk_units,
    bmk_users,
)
from ansible.module_utils.bmk_batch import Failed, run_batch
from ansible.module_utils.bmk_downloads import Downloads
from ansible.module_utils.bmk_files import Files

root = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be set by root only")


class Exit(Exception):
    """How a module ends."""


class Module:
    """What run_batch needs of an AnsibleModule."""

    def __init__(self, items: list[dict[str, Any]], check: bool = False) -> None:
        self.params, self.check_mode, self.said = {"items": items, "section": "test"}, check, {}

    def exit_json(self, **said: Any) -> None:
        self.said = said

    def fail_json(self, **said: Any) -> None:
        self.said = said | {"failed": True}
        raise Exit


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records go below the test's own directory."""
    monkeypatch.setattr(bmk_batch, "RECORDS", str(tmp_path / "records"))
    monkeypatch.setattr(bmk_downloads, "_UNPACKED", str(tmp_path / "unpacked"))
    monkeypatch.setattr(bmk_downloads, "_HASHES", str(tmp_path / "records" / ".hashes"))
    monkeypatch.setattr(bmk_downloads, "_CACHE", {})
    monkeypatch.setattr(bmk_sections, "MANIFEST", str(tmp_path / "manifest.json"))
    return tmp_path / "records"


def _run(kind: Any, items: list[dict[str, Any]], check: bool = False) -> dict[str, Any]:
    module = Module(items, check)
    with contextlib.suppress(Exit):
        run_batch(module, kind)
    return module.said


@root
def test_files_are_set_once(tmp_path: Path) -> None:
    """The first run writes, the second finds nothing to do, and both report every item."""
    items = [
        {"path": str(tmp_path / "d"), "state": "directory", "mode": "0700"},
        {"path": str(tmp_path / "d/f"), "content": "x\n", "mode": "0600"},
        {"path": str(tmp_path / "l"), "state": "link", "target": "d/f"},
        {"path": str(tmp_path / "gone"), "state": "absent"},
    ]
    (tmp_path / "gone").mkdir()
    first, second = _run(Files(), items), _run(Files(), items)
    assert [i["changed"] for i in first["items"]] == [True] * 4
    assert second["changed"] is False
    assert (tmp_path / "l").read_text() == "x\n"
    assert (tmp_path / "d/f").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "gone").exists()


@root
def test_check_mode_changes_nothing_and_shows_the_difference(tmp_path: Path) -> None:
    """--check --diff on a bare host says what would be written and writes neither file nor record."""
    said = _run(Files(), [{"path": str(tmp_path / "new/f"), "content": "hello\n"}], check=True)
    assert said["changed"] is True
    assert said["diff"][0]["after"] == "hello\n"
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "records").exists()


@root
def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    """The diff of a secret file holds nothing of it, nor does its record."""
    said = _run(Files(), [{"path": str(tmp_path / "s"), "content": "canary", "secret": True}])
    record = (tmp_path / "records" / "test.files.json").read_text()
    assert "canary" not in json.dumps(said) + record


@root
@pytest.mark.parametrize("damage", ["content", "mode", "gone", "type"])
def test_drift_is_found(tmp_path: Path, damage: str) -> None:
    """A record says which item no longer holds, whatever happened to it."""
    path = tmp_path / "f"
    _run(Files(), [{"path": str(path), "content": "x"}, {"path": str(tmp_path / "g"), "content": "y"}])
    assert bmk_sections.sections()["test.files"]["holds"] is True
    if damage == "content":
        path.write_text("z")
    elif damage == "mode":
        path.chmod(0o777)
    else:
        path.unlink()
        if damage == "type":
            path.mkdir()
    assert bmk_sections.sections()["test.files"]["differs"] == [str(path)]


@root
def test_the_manifest_adds_up_what_was_recorded(tmp_path: Path) -> None:
    """One file per host: digest, environment, every item as it should be; written again only when it differs."""
    _run(Files(), [{"path": str(tmp_path / "f"), "content": "x"}])
    facts = dict.fromkeys(("os", "os_version", "kernel", "cgroup", "container"), "")
    params = {"host": "h", "digest": "d1", "keep": ["test"]}
    changed, manifest = bmk_sections.write_manifest(params, facts, [], check=False)
    again, _ = bmk_sections.write_manifest(params, facts, [], check=False)
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert (changed, again) == (True, False)
    assert written["digest"] == manifest["digest"] == "d1"
    assert written["sections"]["test.files"]["items"][0]["desired"]["type"] == "file"
    dropped, _ = bmk_sections.write_manifest(params | {"keep": []}, facts, [], check=False)
    assert dropped
    assert not list((tmp_path / "records").iterdir())


@root
def test_the_record_of_a_repair_is_deleted_with_the_next_manifest(tmp_path: Path) -> None:
    """Whatever its section was called when it was made: else a host would never be as it should be again."""
    _run(Files(), [{"path": str(tmp_path / "f"), "content": "x"}])
    facts = dict.fromkeys(("os", "os_version", "kernel", "cgroup", "container"), "")
    params = {"host": "h", "digest": "d1", "keep": ["test"]}
    bmk_sections.write_manifest(params, facts, [], check=False)
    shutil.copy(tmp_path / "records/test.files.json", tmp_path / "records/restored.files.json")
    assert "restored.files" in bmk_sections.sections()
    changed, _ = bmk_sections.write_manifest(params, facts, [], check=True)
    assert "restored.files" in bmk_sections.sections()
    changed, _ = bmk_sections.write_manifest(params, facts, [], check=False)
    assert (changed, set(bmk_sections.sections())) == (False, {"test.files", "manifest"})


def test_a_missing_field_is_named() -> None:
    """A list with a hole says which field it lacks, not a traceback."""
    assert "path" in _run(Files(), [{"content": "x"}])["msg"]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real web server on loopback: (URL, directory)."""
    served = tmp_path / "served"
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(served), **kwargs)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", served
    server.shutdown()
    server.server_close()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_download_is_verified_before_use(mirror: tuple[str, Path], tmp_path: Path) -> None:
    """One altered byte: the file in place stays, nothing else is left, and the error names both digests."""
    url, served = mirror
    (served / "tool").write_bytes(b"good")
    item = {"dest": str(tmp_path / "bin/tool"), "url": f"{url}/tool", "sha256": _sha(b"good"), "size": 4}
    assert _run(Downloads(), [item])["changed"] is True
    (served / "tool").write_bytes(b"evil")
    said = _run(Downloads(), [item | {"sha256": _sha(b"newer"), "size": 5}])
    assert _sha(b"evil") in said["msg"]
    assert _sha(b"newer") in said["msg"]
    assert (tmp_path / "bin/tool").read_bytes() == b"good"
    assert [p.name for p in (tmp_path / "bin").iterdir()] == ["tool"]


def test_an_answer_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Who answers for ever in the mirror's place is hung up on once he sent more than the file has; nothing is left."""
    sent = 0

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal sent
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while sent < 1 << 28:
                    sent += self.wfile.write(bytes(1 << 20))

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/tool"
        said = _run(Downloads(), [{"dest": str(tmp_path / "tool"), "url": url, "sha256": "0" * 64, "size": 4}])
        server.shutdown()
    assert "the lock says" in said["msg"]
    assert sent < 1 << 26
    assert not list(tmp_path.glob("*tool*")) + list(tmp_path.glob(".bmk-*"))


def test_a_silent_mirror_is_named(tmp_path: Path) -> None:
    """No server: the URL and the next step, after a few attempts."""
    item = {"dest": str(tmp_path / "x"), "url": "http://127.0.0.1:1/x", "sha256": "0" * 64, "size": 1}
    assert "http://127.0.0.1:1/x" in _run(Downloads(), [item])["msg"]


def test_an_archive_is_unpacked_and_every_member_is_watched(mirror: tuple[str, Path], tmp_path: Path) -> None:
    """A member that changes later is drift, and the next run repairs it."""
    url, served = mirror
    archive = _archive({"ptp": b"one", "bridge": b"two"})
    (served / "cni.tar").write_bytes(archive)
    item = {
        "dest": str(tmp_path / "cni"),
        "url": f"{url}/cni.tar",
        "sha256": _sha(archive),
        "size": len(archive),
        "unpack": True,
    }
    assert _run(Downloads(), [item])["changed"] is True
    assert _run(Downloads(), [item])["changed"] is False
    (tmp_path / "cni/ptp").write_bytes(b"evil")
    assert bmk_sections.sections()["test.downloads"]["holds"] is False
    assert _run(Downloads(), [item])["changed"] is True
    assert (tmp_path / "cni/ptp").read_bytes() == b"one"


def test_a_file_is_hashed_again_only_when_it_changed(
    mirror: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hundred megabytes are not read in every run, but one changed byte is found, whatever its time."""
    url, served = mirror
    (served / "tool").write_bytes(b"good")
    item = {"dest": str(tmp_path / "bin/tool"), "url": f"{url}/tool", "sha256": _sha(b"good"), "size": 4}
    _run(Downloads(), [item])
    info = Path(item["dest"]).stat()
    assert bmk_sections.sections()["test.downloads"]["holds"] is True
    monkeypatch.setattr(bmk_downloads, "_CACHE", {})
    assert item["dest"] in bmk_downloads._hashes()
    Path(item["dest"]).write_bytes(b"evil")
    os.utime(item["dest"], ns=(info.st_atime_ns, info.st_mtime_ns))
    assert bmk_sections.sections()["test.downloads"]["holds"] is False


def test_an_archive_cannot_leave_its_directory(mirror: tuple[str, Path], tmp_path: Path) -> None:
    """A member named ../x is refused."""
    url, served = mirror
    archive = _archive({"../x": b"evil"})
    (served / "cni.tar").write_bytes(archive)
    item = {
        "dest": str(tmp_path / "cni"),
        "url": f"{url}/cni.tar",
        "sha256": _sha(archive),
        "size": len(archive),
        "unpack": True,
    }
    assert "outside" in _run(Downloads(), [item])["msg"]
    assert not (tmp_path / "x").exists()


def _archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_unit_older_than_its_configuration_is_stale(tmp_path: Path) -> None:
    """A file that changed after the unit started asks for a restart, also when the run that changed it was killed."""
    config = tmp_path / "c"
    config.write_text("x")
    item = {"name": "x.service", "watch": [str(config)]}
    now = int(bmk_units.time.clock_gettime(bmk_units.time.CLOCK_MONOTONIC) * 1e6)
    hour = 3_600_000_000
    assert bmk_units.fresh({"ActiveEnterTimestampMonotonic": str(now + hour)}, item)
    assert not bmk_units.fresh({"ActiveEnterTimestampMonotonic": str(now - hour)}, item)
    assert not bmk_units.fresh({"ActiveEnterTimestampMonotonic": str(now + hour), "NeedDaemonReload": "yes"}, item)
    os.utime(config, (0, 0))
    assert bmk_units.fresh({"ActiveEnterTimestampMonotonic": str(now)}, item)


def test_a_kernel_module_that_is_built_in_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without loadable modules have no /proc/modules; what is built in is there."""
    monkeypatch.setattr(bmk_kernel_modules, "_listed", set)
    monkeypatch.setattr(bmk_kernel_modules, "_built_in", lambda: {"nf_tables"})
    assert bmk_kernel_modules.present("nf-tables")
    assert not bmk_kernel_modules.present("no_such_module")


def test_a_manifest_is_applied_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control plane applies the network plug-in of the mirror; the same bytes again cost nothing."""
    kubectl, asked = tmp_path / "kubectl", tmp_path / "asked"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    kubectl.chmod(0o755)
    monkeypatch.setattr(bmk_applied, "KUBECTL", str(kubectl))
    monkeypatch.setattr(bmk_applied, "APPLIED", str(tmp_path / "applied"))
    items = [{"name": "calico", "path": str(tmp_path / "calico.yaml")}]
    assert _run(bmk_applied.Applied(), items, check=True)["changed"] is True
    for content, changed in (("a", True), ("a", False), ("b", True)):
        (tmp_path / "calico.yaml").write_text(content)
        assert _run(bmk_applied.Applied(), items)["changed"] is changed
    assert len(asked.read_text().splitlines()) == 2


@pytest.fixture
def kubeadm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for kubeadm that writes down what it was asked, and fails while a file `fail` exists."""
    program, asked = tmp_path / "kubeadm", tmp_path / "asked"
    program.write_text(
        f'#!/bin/sh\necho "$1" >> {asked}\n[ "$2" != --config ] || stat -c %a "$3" >> {asked}\n'
        f'[ "$1" = reset ] || [ ! -e {tmp_path}/fail ] || {{ echo "[ERROR Swap]: swap is on"; exit 1; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(bmk_kubeadm_once, "KUBEADM", str(program))
    monkeypatch.setattr(bmk_kubeadm_once, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(bmk_kubeadm_once, "CONFIG", str(tmp_path / "config-"))
    monkeypatch.setattr(bmk_kubeadm_once, "CREDENTIALS", str(tmp_path / "kubelet.conf"))
    monkeypatch.setattr(bmk_kubeadm_once, "LOGS", str(tmp_path / "logs"))
    marker = str(tmp_path / "etc/kubeadm.json")
    monkeypatch.setattr(bmk_kubeadm_once, "MARKER", marker)
    monkeypatch.setattr(bmk_kubeadm_once, "refresh", lambda *_: [])  # tests/containers renders with the real kubeadm
    monkeypatch.setattr(bmk_kubeadm_once, "kubeadm_state", lambda: _state(marker))
    return asked


def _state(marker: str) -> dict[str, Any]:
    return json.loads(Path(marker).read_text()) if Path(marker).exists() else {"state": "bare"}


JOIN = {"action": "join", "cluster": "c", "config": "canary-token", "environment": {}, "settings": "", "encryption": ""}


def test_a_join_happens_once(kubeadm: Path, tmp_path: Path) -> None:
    """A finished join is left alone; its configuration was readable by root only and is nowhere afterwards."""
    assert bmk_kubeadm_once.once(JOIN, check=False)[0] is True
    assert bmk_kubeadm_once.once(JOIN, check=False)[0] is False
    assert kubeadm.read_text().split() == ["join", "600"]
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not [p for p in left if "canary-token" in p.read_text(errors="replace")]


def test_an_unfinished_join_is_reset_and_done_again(kubeadm: Path, tmp_path: Path) -> None:
    """A join that failed or was killed starts clean; the error says what kubeadm blamed."""
    (tmp_path / "fail").touch()
    with pytest.raises(Failed, match=r"\[ERROR Swap\]: swap is on"):
        bmk_kubeadm_once.once(JOIN, check=False)
    (tmp_path / "fail").unlink()
    assert bmk_kubeadm_once.once(JOIN, check=False)[0] is True
    assert kubeadm.read_text().split() == ["join", "600", "reset", "join", "600"]


def test_a_join_outlasts_a_slow_api(kubeadm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that answers too late is asked again from a clean start; what else is wrong fails at once."""
    monkeypatch.setattr(bmk_kubeadm_once, "PAUSES", (0, 0))
    program = tmp_path / "kubeadm"
    once = f"[ -e {tmp_path}/asked-once ] || {{ touch {tmp_path}/asked-once; echo context deadline exceeded; exit 1; }}"
    program.write_text(f'{program.read_text()}[ "$1" = reset ] || {once}\n')
    assert bmk_kubeadm_once.once(JOIN, check=False)[0] is True
    assert kubeadm.read_text().split() == ["join", "600", "reset", "join", "600"]


def _left_behind(tmp_path: Path) -> tuple[subprocess.Popen[bytes], str]:
    """What a killed run left: a process that holds the lock, with a child that would go on for long."""
    script = (
        "import fcntl, subprocess, sys; lock = open(sys.argv[1], 'a'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    child = process.stdout.readline().decode().strip()
    (tmp_path / "etc").mkdir()
    unfinished = {"state": "unfinished", "action": "join", "cluster": "c"}
    (tmp_path / "etc/kubeadm.json").write_text(json.dumps(unfinished))
    (tmp_path / "config-left.yaml").write_text("canary-token")
    return process, child


def test_a_join_that_nobody_approves_any_more_is_ended(kubeadm: Path, tmp_path: Path) -> None:
    """Its run was killed, and its ticket with it: it ends with its kubeadm and its secrets; a new one begins clean."""
    process, child = _left_behind(tmp_path)
    assert bmk_kubeadm_once.once(JOIN, check=False)[0] is True
    assert process.wait(60) == -signal.SIGKILL
    status = Path(f"/proc/{child}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()
    assert kubeadm.read_text().split() == ["reset", "join", "600"]
    assert not (tmp_path / "config-left.yaml").exists()


def test_a_join_that_has_its_credentials_is_waited_for(kubeadm: Path, tmp_path: Path) -> None:
    """Its node is known to the API by then: it is given the time that it takes."""
    process, child = _left_behind(tmp_path)
    (tmp_path / "kubelet.conf").touch()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bmk_kubeadm_once.once, JOIN, False)
        place = f":{(tmp_path / 'lock').stat().st_ino} "
        while not [row for row in Path("/proc/locks").read_text().splitlines() if "->" in row and place in row]:
            assert not waiting.done(), "it did not wait"
        assert process.poll() is None
        os.kill(int(child), signal.SIGTERM)  # it is done
        assert waiting.result(60)[0] is True
    assert process.wait(60) == 0


def test_nobody_listens_and_no_second_attempt_is_made(kubeadm: Path, tmp_path: Path) -> None:
    """Whoever asked for the join was killed: the next run makes its own attempt, with a ticket that is good."""
    (tmp_path / "kubeadm").write_text(f"#!/bin/sh\necho $1 >> {kubeadm}\necho context deadline exceeded\nexit 1\n")
    reader, writer = os.pipe()
    os.close(reader)
    output = os.dup(1)
    os.dup2(writer, 1)
    try:
        with pytest.raises(Failed, match="context deadline exceeded"):
            bmk_kubeadm_once.once(JOIN, check=False)
    finally:
        os.dup2(output, 1)
    assert kubeadm.read_text().split() == ["join"]


def test_a_ticket_that_nobody_approves_is_tried_once(kubeadm: Path, tmp_path: Path) -> None:
    """kubeadm waited for minutes: with the same ticket it would again."""
    words = "failed while waiting for TLS bootstrap: context deadline exceeded"
    (tmp_path / "kubeadm").write_text(f"#!/bin/sh\necho $1 >> {kubeadm}\necho {words}\nexit 1\n")
    with pytest.raises(Failed, match="TLS bootstrap"):
        bmk_kubeadm_once.once(JOIN, check=False)
    assert kubeadm.read_text().split() == ["join"]


def test_a_member_of_another_cluster_is_refused(kubeadm: Path) -> None:
    """A host never changes its cluster by a join."""
    bmk_kubeadm_once.once(JOIN, check=False)
    with pytest.raises(Failed, match="cluster c, not d"):
        bmk_kubeadm_once.once(JOIN | {"cluster": "d"}, check=False)


def test_check_mode_runs_no_kubeadm(kubeadm: Path) -> None:
    """--check says that it would join, and does not."""
    assert bmk_kubeadm_once.once(JOIN, check=True)[0] is True
    assert not kubeadm.exists()


LEAVE = {"action": "reset", "cluster": "c", "environment": {}, "for_good": False}


@pytest.fixture
def kubernetes(kubeadm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A member: files of kubeadm, of a kubelet and of etcd, and what bmk keeps of them; nothing of it really runs."""
    marker = tmp_path / "etc/kubeadm.json"
    files = [tmp_path / name for name in ("k8s/pki/ca.key", "kubelet/pki/client.pem", "etcd/member/wal", "cni/net/one")]
    kept = [tmp_path / "etc/manifest.json", tmp_path / "sections/one.json", tmp_path / "applied/cilium", marker]
    for path in (*files, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (tmp_path / "k8s/link").symlink_to("/etc")
    marker.write_text(json.dumps({"state": "joined", "cluster": "c"}))
    monkeypatch.setattr(
        bmk_kubeadm_left, "EMPTIED", tuple(str(tmp_path / n) for n in ("k8s", "kubelet", "etcd", "cni"))
    )
    monkeypatch.setattr(bmk_kubeadm_left, "CONTROL_PLANE", ())
    for name, path in (
        ("MANIFEST", "etc/manifest.json"),
        ("RECORDS", "sections"),
        ("APPLIED", "applied"),
    ):
        monkeypatch.setattr(bmk_kubeadm_left, name, str(tmp_path / path))
    monkeypatch.setattr(bmk_kubeadm_left, "MARKER", str(marker))
    monkeypatch.setattr(bmk_kubeadm_left, "kubeadm_state", lambda: _state(str(marker)))
    return [*files, *kept, tmp_path / "k8s/link"]


def test_kubernetes_is_taken_off_once(kubernetes: list[Path], kubeadm: Path) -> None:
    """Credentials and data go, through no link, and directories stay; kubeadm is asked once, in check mode never."""
    assert bmk_kubeadm_left.leave(LEAVE, check=True) == (True, "")
    assert all(os.path.lexists(path) for path in kubernetes)
    assert bmk_kubeadm_left.leave(LEAVE, check=False)[0] is True
    assert not [path for path in kubernetes if os.path.lexists(path)]
    assert all(Path(directory).is_dir() for directory in bmk_kubeadm_left.EMPTIED)
    assert Path("/etc/passwd").exists()
    assert bmk_kubeadm_left.leave(LEAVE, check=False)[0] is False
    assert kubeadm.read_text().split() == ["reset"]


def test_what_runs_keeps_its_data_and_the_same_command_goes_on(
    kubernetes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An etcd that did not end would write on; the host is no member any more all the same."""
    monkeypatch.setattr(bmk_kubeadm_left, "CONTROL_PLANE", (Path("/proc/self/comm").read_text().strip(),))
    with pytest.raises(Failed, match="still running"):
        bmk_kubeadm_left.leave(LEAVE, check=False)
    assert kubernetes[2].exists()
    assert _state(bmk_kubeadm_left.MARKER)["state"] == "unfinished"
    monkeypatch.setattr(bmk_kubeadm_left, "CONTROL_PLANE", ())
    assert bmk_kubeadm_left.leave(LEAVE, check=False)[0] is True


def test_another_cluster_is_not_taken_off(kubernetes: list[Path]) -> None:
    """Nor what bmk did not make: nothing is removed."""
    with pytest.raises(Failed, match="cluster c, not d"):
        bmk_kubeadm_left.leave(LEAVE | {"cluster": "d"}, check=False)
    assert all(os.path.lexists(path) for path in kubernetes)


@root
def test_an_access_list_is_seen_and_taken_away(tmp_path: Path) -> None:
    """Rights that the mode does not show count as another mode, of files, sockets and directories alike."""
    path = tmp_path / "s"
    path.write_text("")
    path.chmod(0o660)
    entries = ((1, 6, -1), (2, 6, 65534), (4, 6, -1), (16, 6, -1), (32, 0, -1))  # user 65534 may read and write
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", packed)
    items = [{"path": str(path), "state": "kept", "mode": "0660"}]
    assert [i["changed"] for i in _run(Files(), items)["items"]] == [True]
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert [i["changed"] for i in _run(Files(), items)["items"]] == [False]


@root
def test_a_socket_is_put_right_like_a_file(tmp_path: Path) -> None:
    """Its mode is seen, shown as a difference without reading from it, and set."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
    path.chmod(0o666)
    done = _run(Files(), [{"path": str(path), "state": "kept", "mode": "0660"}])
    assert [i["changed"] for i in done["items"]] == [True]
    assert ("0666" in done["diff"][0]["before"], "0660" in done["diff"][0]["after"]) == (True, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


@root
def test_what_is_in_a_kept_file_is_never_shown(tmp_path: Path) -> None:
    """A key of somebody else with a wrong mode: the difference says so, and has nothing of its content."""
    path = tmp_path / "ca.key"
    path.write_text("canary")
    path.chmod(0o644)
    done = _run(Files(), [{"path": str(path), "state": "kept", "mode": "0600"}])
    assert "canary" not in json.dumps(done["diff"])
    assert "0644" in done["diff"][0]["before"]


@root
def test_a_tree_belongs_to_one_user(tmp_path: Path) -> None:
    """A file that root left below etcd's directory is seen, recorded as drift, and given; what a link names is not."""
    tree, outside = tmp_path / "etcd", tmp_path / "outside"
    (tree / "member/wal").mkdir(parents=True)
    outside.write_text("x")
    item = {"path": str(tree), "state": "directory", "mode": "0700", "owner": "daemon", "group": "daemon", "tree": True}
    assert _run(Files(), [item])["changed"] is True
    (tree / "member/wal/0.wal").write_text("x")
    (tree / "member/link").symlink_to(outside)
    assert bmk_sections.sections()["test.files"]["differs"] == [str(tree)]
    assert _run(Files(), [item])["changed"] is True
    assert _run(Files(), [item])["changed"] is False
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in (tree, *tree.rglob("*"))} == {(1, 1)}
    assert outside.stat().st_uid == 0


def test_a_number_is_never_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that has the number would read keys of the cluster: no user is made, and the error names it."""
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(bmk_users, "command", lambda *argv: made.append(argv) or "")
    said = _run(bmk_users.Users(), [{"name": "etcd", "uid": 1}])
    assert "daemon has it" in said["msg"]
    assert made == []


def test_a_command_that_fails_is_told_with_what_it_was_about() -> None:
    """systemctl's own words do not name the unit whose job failed; a list that is long is cut."""
    with pytest.raises(Failed, match=r"^false start -- some\.path ended with 1: "):
        bmk_batch.command("false", "start", "--", "some.path")
    with pytest.raises(Failed) as told:
        bmk_batch.command("false", *(1000 * ["name"]))
    assert len(str(told.value)) < 300


def test_a_number_of_another_group_is_refused() -> None:
    """The group that has it is named, and nothing is changed: two groups of one number would share a socket."""
    kind = bmk_groups.GroupsKind()
    item = {"name": "bmk-no-such-group", "gid": 0}
    with pytest.raises(Failed, match="root has it"):
        kind.apply([item], {item["name"]: kind.actual(item)})
    assert kind.actual({"name": "root", "gid": 0}) == {"gid": 0, "members": kind.actual({"name": "root"})["members"]}


def test_settings_that_the_kernel_resets_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwarding turns redirects back on, as in the kernel: after one apply both are as wanted."""
    monkeypatch.setattr(bmk_sysctls, "_path", lambda item: str(tmp_path / item["name"]))
    forward: dict[str, Any] = {"name": "net.ipv4.ip_forward", "value": 1}
    redirects: dict[str, Any] = {"name": "net.redirects", "value": "0"}
    (tmp_path / forward["name"]).write_text("0\n")
    (tmp_path / redirects["name"]).write_text("0\n")
    kind = Resetting(tmp_path)
    items = [forward, redirects]
    before = {item["name"]: kind.actual(item) for item in items}
    kind.apply([item for item in items if before[item["name"]] != kind.desired(item)], before)
    assert [kind.actual(item) for item in items] == [kind.desired(item) for item in items]


class Resetting(bmk_sysctls.Sysctls):
    """Settings of files; the first read after forwarding is on finds redirects on, once."""

    def __init__(self, place: Path) -> None:
        self.place, self.reset = place, False

    def actual(self, item: dict[str, Any]) -> dict[str, Any]:
        if not self.reset and (self.place / "net.ipv4.ip_forward").read_text() == "1":
            self.reset = True
            (self.place / "net.redirects").write_text("1\n")
        return dict(super().actual(item))
