"""Certificate signing requests, and the bootstrap tokens with which hosts ask for their first certificate."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lightkube.models.certificates_v1 import CertificateSigningRequestCondition
from lightkube.resources.certificates_v1 import CertificateSigningRequest
from lightkube.resources.core_v1 import Secret

from bmk.cluster.api.connection import ApiConnection

TICKET = "bmk: "  # the description of a bootstrap token begins with it, followed by the host that it is for


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A pending certificate signing request. `pem` is PKCS#10 in PEM."""

    name: str
    signer: str
    username: str
    groups: tuple[str, ...]
    usages: tuple[str, ...]
    pem: bytes


class ApprovalsApi:
    """What the approval of kubelets' certificates asks."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def waiting_requests(self) -> list[SigningRequest]:
        """Signing requests that nobody approved or denied."""
        with self._connection.errors():
            found: list[Any] = list(self._connection.list(CertificateSigningRequest))
            return [_request(csr) for csr in found if not (csr.status and csr.status.conditions)]

    def approve(self, name: str, reason: str, message: str) -> None:
        """Approve a signing request."""
        with self._connection.errors():
            csr: Any = self._connection.client.get(CertificateSigningRequest, name)
            condition = CertificateSigningRequestCondition("True", "Approved", reason=reason, message=message)
            csr.status.conditions = [*(csr.status.conditions or []), condition]
            answer: Any = CertificateSigningRequest.Approval.from_dict(csr.to_dict())
            self._connection.client.replace(answer, name)

    def ticket(self, token_id: str) -> str | None:
        """The host that a bootstrap token is for; None when there is none, it has expired, or bmk did not make it."""
        with self._connection.errors():
            secret = self._connection.find(Secret, f"bootstrap-token-{token_id}", namespace="kube-system")
            data = (secret.data or {}) if secret is not None else {}
            told = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
            end, text = told.get("expiration", ""), told.get("description", "")
            living = bool(end) and datetime.fromisoformat(end) > datetime.now(UTC)
            return text.removeprefix(TICKET) if living and text.startswith(TICKET) else None


def _request(csr: Any) -> SigningRequest:
    spec = csr.spec
    pem = base64.b64decode(spec.request)
    return SigningRequest(
        csr.metadata.name, spec.signerName, spec.username or "", tuple(spec.groups or ()), tuple(spec.usages or ()), pem
    )
