"""What a kubelet says through the API is that host's, whatever it is."""

from __future__ import annotations

from typing import Any

from bmk.errors import BmkError
from bmk.live.drift_service import _kubelets

DEEP: Any = {}
for _ in range(5000):
    DEEP = {"x": DEEP}


class Kubelets:
    """The API's answers by host; an exception is raised as the client would."""

    answers = {
        "good": {"a": {"b": 1}},
        "deep": DEEP,
        "broken": KeyError("kubeletconfig"),
        "silent": BmkError("no", why="w"),
    }

    def kubelet_settings(self, name: str) -> Any:
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_one_odd_kubelet_costs_no_other_host_its_look() -> None:
    """Good settings are there; an answer that is too deep, not of this shape or missing is that host's trouble."""
    api: Any = Kubelets()
    settings, silent = _kubelets(api, list(Kubelets.answers))
    assert settings == {"good": {"a.b": 1}}
    assert {host: troubles[0].cause for host, troubles in silent.items()} == dict.fromkeys(
        ("deep", "broken", "silent"), "kubelet"
    )
