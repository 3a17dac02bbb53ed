"""A Kubernetes API by subject: nodes, approvals, policies, pods. One connection for all of them.

with Api(kubeconfig) as api: api.nodes.readiness()        with the administrator's kubeconfig
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightkube import KubeConfig
from lightkube.core.decoders import decode_list, decode_status
from lightkube.resources.certificates_v1 import CertificateSigningRequest

from bmk.cluster.api.approvals import TICKET, ApprovalsApi, SigningRequest
from bmk.cluster.api.connection import ApiConnection
from bmk.cluster.api.nodes import NodesApi, Readiness
from bmk.cluster.api.pods import PodsApi, PodState, wait_for
from bmk.cluster.api.policies import KINDS, PoliciesApi

__all__ = ["TICKET", "Api", "NodesApi", "PodState", "Readiness", "SigningRequest", "wait_for"]


class Api:
    """One cluster's API with a kubeconfig. Every call raises Unreachable when it does not answer in `seconds`.

    Within `with`, an answer that is not as the API promises is a BmkError, also where the caller reads its parts.
    """

    def __init__(self, kubeconfig: Path, seconds: float = 15) -> None:
        self._connection = ApiConnection(kubeconfig, seconds)
        self.nodes = NodesApi(self._connection)
        self.approvals = ApprovalsApi(self._connection)
        self.policies = PoliciesApi(self._connection)
        self.pods = PodsApi(self._connection)
        self.authority, self.create, self.apply, self.text = (
            self._connection.authority,
            self._connection.create,
            self._connection.apply,
            self._connection.text,
        )

        self._open = ExitStack()

    def __enter__(self) -> Api:
        self._open.callback(self._connection.client.close)
        self._open.enter_context(self._connection.understood())
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)


def _learn_types() -> None:
    """Let the decoder learn every type now, in the one thread that imports this module.

    It learns a type from the first answer of its kind, and a second first answer at the same time ends the process.
    """
    for kind in (*KINDS, CertificateSigningRequest):
        decode_list(b'{"items": [], "metadata": {}}', kind)
    decode_status(b"{}")
    link = {"cluster": "x", "user": "x", "server": "https://x"}
    KubeConfig.from_dict({part + "s": [{"name": "x", part: link}] for part in ("cluster", "context", "user")})


_learn_types()
