"""The administrator's kubeconfig, written by us from what a control plane has. Pure.

A kubeconfig is a program as well: `exec` names a command that every client runs, `server` where the key is used. So of
the file that comes from a host only the certificate authority, the certificate and the key are taken, once they parse
and belong to each other; the server comes from dc.yml.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from bmk.document import to_yaml
from bmk.errors import BmkError

LONGEST = 1 << 18  # characters; kubeadm's has 5,600

_PARTS = ("certificate-authority-data", "client-certificate-data", "client-key-data")


@dataclass(frozen=True, slots=True)
class ClusterCredentials:
    """PEM of the cluster's authority, of the administrator's certificate and of its key."""

    authority: bytes
    certificate: bytes
    key: bytes


def credentials(text: str) -> ClusterCredentials:
    """What is taken out of a kubeconfig of kubeadm, serialized anew. Raises BmkError when it does not hold."""
    try:
        authority, certificate, key = (_part(text, name) for name in _PARTS)
        issuer = x509.load_pem_x509_certificate(authority)
        holder = x509.load_pem_x509_certificate(certificate)
        private = load_pem_private_key(key, None)
        if holder.public_key() != private.public_key():
            raise ValueError("the key is not that of the certificate")
        holder.verify_directly_issued_by(issuer)
    except InvalidSignature as error:
        raise _refused("the certificate was not issued by its authority") from error
    except (ValueError, TypeError) as error:
        raise _refused(str(error)) from error
    return ClusterCredentials(
        issuer.public_bytes(Encoding.PEM),
        holder.public_bytes(Encoding.PEM),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def kubeconfig(cluster: str, endpoint: tuple[str, int], found: ClusterCredentials) -> str:
    """The file for kubectl and for bmk. `endpoint` is host and port of the API as dc.yml says."""
    user, host = f"{cluster}-admin", endpoint[0]
    server = f"https://{f'[{host}]' if ':' in host else host}:{endpoint[1]}"
    data = [base64.b64encode(part).decode() for part in (found.authority, found.certificate, found.key)]
    return to_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {"certificate-authority-data": data[0], "server": server}}],
            "users": [{"name": user, "user": {"client-certificate-data": data[1], "client-key-data": data[2]}}],
            "contexts": [{"name": f"{user}@{cluster}", "context": {"cluster": cluster, "user": user}}],
            "current-context": f"{user}@{cluster}",
        }
    )


def client_certificate(text: str) -> str:
    """PEM of the holder's certificate. Raises ValueError when it is not one of kubeadm's or ours."""
    return _part(text, _PARTS[1]).decode(errors="replace")


def _part(text: str, name: str) -> bytes:
    """The one value of this name. YAML is not parsed: what kubeadm writes has a value on one line."""
    if len(text) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST >> 10} KiB")
    found = re.findall(rf"^[ \t-]*{name}: *([A-Za-z0-9+/=]+)[ \t]*$", text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"it has {len(found) or 'no'} {name}")
    return base64.b64decode(found[0], validate=True)


def _refused(why: str) -> BmkError:
    return BmkError(
        "the host's kubeconfig is not one that kubeadm writes",
        why=why,
        hint="look at /etc/kubernetes/admin.conf on that control plane, and at who was on it",
    )
