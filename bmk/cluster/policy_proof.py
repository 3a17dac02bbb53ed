"""Proof by two pods that NetworkPolicy is enforced: the policy admits one to all web servers and not the other.

Both reach the web servers before the policy exists, so that a missing answer is the policy's effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bmk.cluster.api import Api, PodState, wait_for
from bmk.errors import BmkError, Unreachable

FRIEND, STRANGER = "friend", "stranger"
_ROLE = "bmk.dev/smoke"


def manifests(web: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The two pods: web servers like the others, without the service's label."""
    return [
        {**web, "metadata": {**web["metadata"], "name": role, "labels": {_ROLE: role}}} for role in (FRIEND, STRANGER)
    ]


def policy(namespace: str) -> dict[str, Any]:
    """The policy: only the friend reaches the web servers."""
    spec = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {_ROLE: FRIEND}}}]}],
    }
    metadata = {"name": "friends-only", "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def prove(api: Api, namespace: str, webs: Sequence[PodState], port: int, seconds: float) -> dict[str, str]:
    """Node of each web server -> what is wrong there; "" where the policy holds. `seconds`: deadline of each step."""
    asking = _Asking(api, namespace, port, seconds)
    everybody = {str(web.ip) for web in webs}
    before = asking.until(STRANGER, webs, lambda reached: reached == everybody)
    wait_for(lambda: _created(api, policy(namespace)), seconds, "the namespace takes a policy")
    after = asking.until(STRANGER, webs, lambda reached: not reached)
    friend = asking.until(FRIEND, webs, lambda reached: reached == everybody)
    return {str(web.node): _wrong(str(web.ip), before, after, friend) for web in webs}


def _created(api: Api, body: Mapping[str, Any]) -> bool:
    try:
        api.create(body)
    except Unreachable:
        return False
    return True


def _wrong(ip: str, before: Iterable[str], after: Iterable[str], friend: Iterable[str]) -> str:
    if ip not in before:
        return f"{STRANGER} did not reach {ip} before there was a policy, so nothing is proven"
    if ip in after:
        return f"a pod that no policy lets in reaches {ip}: nothing enforces NetworkPolicy here"
    return "" if ip in friend else f"a pod that the policy lets in does not reach {ip}"


class _Asking:
    """Requests from one of the two pods to all web servers at once."""

    def __init__(self, api: Api, namespace: str, port: int, seconds: float) -> None:
        self._api, self._namespace, self._port, self._seconds = api, namespace, port, seconds

    def until(self, pod: str, webs: Sequence[PodState], good: Any) -> set[str]:
        """Addresses that the pod reached in the first good attempt, or the last one."""
        last: set[str] = set()

        def asked() -> bool:
            nonlocal last
            with suppress(BmkError):  # an API server or a kubelet may be busy for a moment
                last = self._reached(pod, webs)
                return bool(good(last))
            return False

        with suppress(BmkError):
            wait_for(asked, self._seconds, "the policy holds", pause=1)
        return last

    def _reached(self, pod: str, webs: Sequence[PodState]) -> set[str]:
        ask = (
            f"wget -q -T {max(2, self._seconds / 60):.0f} -O - http://$a:{self._port}/index.html >/dev/null && echo $a"
        )
        script = f"for a in {' '.join(str(web.ip) for web in webs)}; do ({ask}) & done; wait"
        return set(self._api.pods.execute(self._namespace, pod, ["/bin/sh", "-c", script], self._seconds)[1].split())
