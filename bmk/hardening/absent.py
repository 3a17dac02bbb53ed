"""What a cluster does not have, said to whoever asks for it: the API takes the object and nothing happens. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bmk.hardening.objects import Object
from bmk.hardening.policy import admission, binding, rule

BALANCER, ENFORCER = "bmk-no-load-balancer", "bmk-no-network-policy"
_SAY = ["Warn", "Audit"]
_IS_OTHER = "object.spec.?type.orValue('ClusterIP') != 'LoadBalancer'"
_PENDING = (
    "bmk: nothing in this cluster gives a Service of type LoadBalancer an address, so it stays pending: "
    "use NodePort, or install what does and set load_balancers: own in dc.yml"
)
_IDLE = (
    "bmk: nothing in this cluster enforces a NetworkPolicy, so it has no effect: "
    "set policies: kube-network-policies in dc.yml, or install what does"
)


def warnings(balances: bool, enforces: bool) -> Iterator[Object]:
    """Policies that let everything in and say what is not there: load balancers, an engine for NetworkPolicy."""
    if not balances:
        services = rule("", ["services"], ["CREATE", "UPDATE"])
        yield admission(BALANCER, [services], {}, [{"expression": _IS_OTHER, "message": _PENDING}])
        yield binding(BALANCER, BALANCER, _SAY, {})
    if not enforces:
        policies = rule("networking.k8s.io", ["networkpolicies"], ["CREATE", "UPDATE"])
        yield admission(ENFORCER, [policies], {}, [{"expression": "false", "message": _IDLE}])
        yield binding(ENFORCER, ENFORCER, _SAY, {})
