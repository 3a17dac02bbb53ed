"""The boot server as processes: rendered files and argument vectors, for the lab's supervisor and for systemd units."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmk.boot import dnsmasq, nginx, registry
from bmk.boot.request_context import ARTIFACTS
from bmk.boot.spec import Artifacts, installer_path
from bmk.datacenter.resolve import DataCenter
from bmk.paths import cache_dir, private_dir

LISTEN = "127.0.0.1:8081"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the boot server. It stays in the foreground; SIGTERM ends it; `files` are to be written before."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and as whom the processes run. The defaults are the lab's: in namespaces, as root or mapped root.

    `listen`: the boot service, host:port or unix:/path. `user`: nginx' workers; "" when nginx is not started as root.
    """

    listen: str = LISTEN
    user: str = "root"
    python: str = sys.executable
    registry: Path | None = None  # None: below the cache directory


def processes(
    dc: DataCenter, state: Path, mirror_root: Path, artifacts: Artifacts | None = None, setting: Setting | None = None
) -> list[Process]:
    """The boot service, nginx, dnsmasq and the registry of a data center.

    `mirror_root` holds files/; `artifacts` is `bmk_artifacts` (None: keep what `write_artifacts` wrote before).
    """
    setting = setting or Setting()
    return [
        _service(dc, state, artifacts, setting),
        _nginx(dc, state / "boot", _served(mirror_root, artifacts or {}), setting),
        _dnsmasq(dc, state / "boot"),
        _registry(dc, state / "boot", setting),
    ]


def write(files: Mapping[Path, str]) -> list[Path]:
    """Write rendered files, each whole or not at all, and return those that changed."""
    return [path for path, text in files.items() if _replace(path, text)]


def write_artifacts(state: Path, artifacts: Artifacts) -> None:
    """Tell the boot service, running or not, where the installer lies (`bmk_artifacts`)."""
    write({state / "boot" / ARTIFACTS: _json(artifacts)})


def write_hosts(dc: DataCenter, state: Path) -> bool:
    """Bring dnsmasq's hosts and options in step with the data center; True if that changed anything.

    A dnsmasq of this data center that runs here reads them again, unless it is another user's: systemd tells that one.
    """
    rendered = dnsmasq.render(dc, state / "boot")
    changed = write({state / "boot" / name: rendered[name] for name in (dnsmasq.HOSTS, dnsmasq.OPTIONS)})
    for pid in _running(_dnsmasq(dc, state / "boot").argv) if changed else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGHUP)
    return bool(changed)


def registry_certificate(dc: DataCenter, state: Path) -> str:
    """The registry's certificate that nodes pin (PEM); empty as long as it has not run."""
    return registry.certificate(state / "boot", str(dc.spec.deployer.address))


def _running(argv: tuple[str, ...]) -> Iterator[int]:
    """Processes with exactly these arguments, the program's directory aside."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            program, *arguments = path.read_bytes().decode(errors="replace").split("\0")[:-1] or [""]
            if (Path(program).name, *arguments) == argv:
                yield int(path.parent.name)


def _service(dc: DataCenter, state: Path, artifacts: Artifacts | None, setting: Setting) -> Process:
    options = ("--dc", str(dc.source.resolve()), "--state", str(state), "--listen", setting.listen)
    argv = (setting.python, "-m", "bmk.boot.service", *options)
    files = {} if artifacts is None else {state / "boot" / ARTIFACTS: _json(artifacts)}
    return Process("boot-service", argv, {"PYTHONUNBUFFERED": "1"}, files)


def _served(mirror_root: Path, artifacts: Artifacts) -> tuple[Path, list[str]]:
    """The directory of files, and those of them that need a grant."""
    paths = (installer_path(artifacts, name) for name in nginx.INSTALLER)
    return mirror_root / "files", [path for path in paths if path]


def _nginx(dc: DataCenter, boot: Path, served: tuple[Path, list[str]], setting: Setting) -> Process:
    files, installer_paths = served
    server = nginx.NginxServer(
        address=str(dc.spec.deployer.address),
        port=dc.spec.deployer.http_port,
        boot=boot,
        files=files,
        service=setting.listen,
        loaders=dnsmasq.LOADER_DIR,
        user=setting.user or None,
    )
    configuration = boot / "nginx.conf"
    argv = ("nginx", "-e", str(boot / "nginx-error.log"), "-p", str(boot), "-c", str(configuration))
    return Process("nginx", argv, files={configuration: nginx.render(server, installer_paths)})


def _dnsmasq(dc: DataCenter, boot: Path) -> Process:
    files = {boot / name: text for name, text in dnsmasq.render(dc, boot).items()}
    # --no-daemon also means: keep the user. A user namespace has no other one;
    # systemd's unit starts it as an ordinary user with the three capabilities that it needs.
    return Process("dnsmasq", ("dnsmasq", "--no-daemon", f"--conf-file={boot / dnsmasq.CONFIGURATION}"), files=files)


def _registry(dc: DataCenter, boot: Path, setting: Setting) -> Process:
    deployer, configuration = dc.spec.deployer, boot / registry.CONFIGURATION
    address, storage = str(deployer.address), setting.registry or cache_dir() / "registry"
    argv = (setting.python, "-m", "bmk.boot.registry", "--configuration", str(configuration), "--address", address)
    return Process(
        "registry", argv, files={configuration: registry.render(boot, storage, address, deployer.registry_port)}
    )


def _json(value: Artifacts) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _replace(path: Path, text: str) -> bool:
    private_dir(path.parent.parent)
    path.parent.mkdir(exist_ok=True, mode=0o755)  # nginx and dnsmasq read here, as users of their own
    if path.exists() and path.read_text() == text:
        return False
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".bmk-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    Path(temporary).replace(path)
    return True
