"""The boot server as processes: rendered files and argument vectors, for the lab's supervisor and for systemd units."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmk.boot import dnsmasq, nginx
from bmk.boot.desk import ARTIFACTS
from bmk.boot.spec import Artifacts, installer_path
from bmk.datacenter.resolve import DataCenter
from bmk.paths import cache_dir

LISTEN = "127.0.0.1:8081"

_REGISTRY = """\
# Written by bmk; changes here are lost.
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  maintenance: {{readonly: {{enabled: true}}}}
http:
  addr: {address}:{port}
  headers: {{X-Content-Type-Options: [nosniff]}}
"""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the boot server. It stays in the foreground; SIGTERM ends it; `files` are to be written before."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)


def processes(
    dc: DataCenter, state: Path, mirror_root: Path, artifacts: Artifacts | None = None, user: str | None = None
) -> list[Process]:
    """dnsmasq, nginx, the boot service and the registry of a data center.

    `mirror_root` holds files/; `artifacts` is `bmk_artifacts` (None: keep what `write_artifacts` wrote before). `user`:
    who nginx' workers are; None means root when the master is root, which in a user namespace is nobody outside.
    """
    boot = state / "boot"
    return [
        _service(dc, state, artifacts),
        _nginx(dc, boot, mirror_root, (artifacts or {}, user)),
        _dnsmasq(dc, boot),
        _registry(dc, boot),
    ]


def write(files: Mapping[Path, str]) -> list[Path]:
    """Write rendered files, each whole or not at all, and return those that changed."""
    return [path for path, text in files.items() if _replace(path, text)]


def write_artifacts(state: Path, artifacts: Artifacts) -> None:
    """Tell the boot service, running or not, where the installer lies (`bmk_artifacts`)."""
    write({state / "boot" / ARTIFACTS: _json(artifacts)})


def write_hosts(dc: DataCenter, state: Path) -> list[Path]:
    """Write the files that dnsmasq watches, after hosts were added. Removed hosts need a SIGHUP of dnsmasq on top."""
    rendered = dnsmasq.render(dc, state / "boot")
    return write({state / "boot" / name: text for name, text in rendered.items() if "/" in name})


def _service(dc: DataCenter, state: Path, artifacts: Artifacts | None) -> Process:
    argv = (sys.executable, "-m", "bmk.boot.service", "--dc", str(dc.source), "--state", str(state), "--listen", LISTEN)
    files = {} if artifacts is None else {state / "boot" / ARTIFACTS: _json(artifacts)}
    return Process("boot-service", argv, {"PYTHONUNBUFFERED": "1"}, files)


def _nginx(dc: DataCenter, boot: Path, mirror_root: Path, rest: tuple[Artifacts, str | None]) -> Process:
    artifacts, user = rest
    server = nginx.Server(
        address=str(dc.spec.deployer.address),
        port=dc.spec.deployer.http_port,
        boot=boot,
        files=mirror_root / "files",
        service=LISTEN,
        loaders=dnsmasq.LOADER_DIR,
        user=user or ("root" if os.geteuid() == 0 else None),
    )
    paths: Iterable[str] = filter(None, (installer_path(artifacts, name) for name in nginx.INSTALLER))
    configuration = boot / "nginx.conf"
    argv = ("nginx", "-e", str(boot / "nginx-error.log"), "-p", str(boot), "-c", str(configuration))
    return Process("nginx", argv, files={configuration: nginx.render(server, paths)})


def _dnsmasq(dc: DataCenter, boot: Path) -> Process:
    files = {boot / name: text for name, text in dnsmasq.render(dc, boot).items()}
    # --no-daemon also means: stay who you are. In a user namespace there is nobody else to become; systemd's unit
    # starts it as an ordinary user with the three capabilities that it needs.
    return Process("dnsmasq", ("dnsmasq", "--no-daemon", f"--conf-file={boot / 'dnsmasq.conf'}"), files=files)


def _registry(dc: DataCenter, boot: Path) -> Process:
    deployer, configuration = dc.spec.deployer, boot / "registry.yml"
    storage = cache_dir() / "registry"
    text = _REGISTRY.format(storage=storage, address=deployer.address, port=deployer.registry_port)
    return Process("registry", ("docker-registry", "serve", str(configuration)), files={configuration: text})


def _json(value: Artifacts) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _replace(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if path.exists() and path.read_text() == text:
        return False
    # Not beside the target: dnsmasq reads whatever appears in a directory that it watches.
    handle, temporary = tempfile.mkstemp(dir=path.parent.parent, prefix=".bmk-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    Path(temporary).replace(path)
    return True
