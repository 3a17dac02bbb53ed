"""The boot server's processes as JSON, for the role that makes systemd units of them.

python -m bmk.boot.render --dc par --state /var/lib/bmk/par --cache /var/cache/bmk --listen unix:/run/bmk/boot.sock
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bmk.boot.server import LISTEN, Process, Setting, processes
from bmk.errors import BmkError


def main(arguments: list[str] | None = None) -> int:
    """Print name -> {argv, env, files: path -> content}; returns the exit status."""
    from bmk.datacenter.load import load_datacenter  # noqa: PLC0415 - pulls in the whole model

    options = _options(arguments)
    setting = Setting(listen=options.listen, user="", python=options.python, registry=options.cache / "registry")
    try:
        made = processes(load_datacenter(options.dc), options.state, options.cache / "mirror", None, setting)
    except BmkError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.write(json.dumps({process.name: _plain(process) for process in made}, indent=1) + "\n")
    return 0


def _plain(process: Process) -> dict[str, object]:
    files = {str(path): text for path, text in process.files.items()}
    return {"argv": list(process.argv), "env": dict(process.env), "files": files}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bmk.boot.render", description=__doc__)
    parser.add_argument("--dc", required=True, help="name below inventories/, or path of a data center file")
    parser.add_argument("--state", type=Path, required=True, help="state directory of the data center")
    parser.add_argument("--cache", type=Path, required=True, help="directory that holds mirror/ and registry/")
    parser.add_argument("--listen", default=LISTEN, help="where the boot service listens: host:port, or unix:/path")
    parser.add_argument("--python", default=sys.executable, help="the Python that has bmk")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
