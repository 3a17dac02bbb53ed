"""Keys of a cluster as kubeadm makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bmk.backup.manifest import AUTHORITIES, TOKENS


def make_pairs(root: Path) -> None:
    """What kubeadm makes: three authorities and a pair that signs tokens."""
    for certificate, key in AUTHORITIES:
        (root / certificate.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += [
            "-subj",
            "/CN=x",
            "-keyout",
            str(root / key.lstrip("/")),
            "-out",
            str(root / certificate.lstrip("/")),
        ]
        subprocess.run(command, check=True, capture_output=True)
    public, private = (root / path.lstrip("/") for path in TOKENS)
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
