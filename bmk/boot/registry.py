"""docker-registry over TLS. Nodes get its certificate over ssh and pull images only from a server that has it.

python -m bmk.boot.registry --configuration REGISTRY.YML --address 10.20.0.5

Makes a key that only its user can read, then becomes docker-registry. The certificate is self-signed: nodes trust this
one certificate, and no name. It is made again when the address changes or the file is gone; then `bmk plan` shows every
host as pending, and the hosts pull images again after their converge.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bmk.secrets.certificate import certificate_for, self_signed

CONFIGURATION, PRIVATE, PUBLIC = "registry.yml", "registry.pem", "registry.crt"

_TEMPLATE = """\
# Written by bmk; changes here are lost.
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  maintenance: {{readonly: {{enabled: true}}}}
http:
  addr: {address}:{port}
  headers: {{X-Content-Type-Options: [nosniff]}}
  tls: {{certificate: "{pem}", key: "{pem}", minimumtls: tls1.3}}
"""


def render(boot: Path, storage: Path, address: str, port: int) -> str:
    """docker-registry's configuration. `boot`: where its key and certificate are."""
    return _TEMPLATE.format(storage=storage, address=address, port=port, pem=boot / PRIVATE)


def certificate(boot: Path, address: str) -> str:
    """The certificate (PEM) that nodes pin; empty as long as the registry has not run at this address."""
    return certificate_for(boot / PUBLIC, address)


def identify(boot: Path, address: str) -> None:
    """Make a key and certificate for this address, unless there are; the certificate is always that of the key."""
    found = certificate_for(boot / PRIVATE, address)
    found = found or certificate_for(self_signed(boot / PRIVATE, "bmk registry", [address]), address)
    if certificate(boot, address) != found:
        fresh = boot / f".{PUBLIC}.new"
        fresh.write_text(found)
        fresh.chmod(0o644)
        fresh.replace(boot / PUBLIC)


def main() -> None:
    """Does not return."""
    parser = argparse.ArgumentParser(prog="python -m bmk.boot.registry", description="docker-registry over TLS")
    parser.add_argument("--configuration", type=Path, required=True, help="docker-registry's file; its key lies beside")
    parser.add_argument("--address", required=True, help="what nodes reach it by")
    options = parser.parse_args()
    identify(options.configuration.parent, options.address)
    os.execvp("docker-registry", ["docker-registry", "serve", str(options.configuration)])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
