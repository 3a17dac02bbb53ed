"""Questions of the smoke test to one node: commands in its pod, in one call, and the log of the pod.

Both go through the node's kubelet, so that its serving certificate is verified with them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bmk.cluster.api import PodState
from bmk.errors import BmkError

PRINTED = "bmk smoke test"  # by each pod when it starts
_MARK = "@@bmk"
_ANSWER = re.compile(rf"^{_MARK} ([0-9]{{1,3}})$\n?", re.MULTILINE)  # a node may print anything else between


class Pods(Protocol):
    """The part of the API that is needed."""

    def execute(self, namespace: str, pod: str, command: list[str], seconds: float) -> tuple[int, str]: ...
    def logs(self, namespace: str, pod: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the smoke test. `host` is set when it is about one node."""

    name: str
    ok: bool
    detail: str = ""
    host: str | None = None


@dataclass(frozen=True, slots=True)
class PodCommand:
    """A shell command: passed with exit code 0 and `expected` in its output, or when `good(exit code, output)`."""

    name: str
    command: str
    expected: str = ""
    good: Callable[[int, str], bool] | None = None

    def row(self, code: int, text: str, host: str | None) -> Row:
        ok = self.good(code, text) if self.good else code == 0 and self.expected in text
        said = " ".join(text.split())[:200]
        return Row(self.name, ok, said or f"exit code {code}", host)


def answered(code: int, text: str) -> bool:
    """Whether nslookup got an answer from an upstream name server; NXDOMAIN is one."""
    return code == 0 or "NXDOMAIN" in text


def ask_node(api: Pods, namespace: str, pod: PodState, questions: Sequence[PodCommand], seconds: float) -> list[Row]:
    """A row for each question, one for exec and one for logs; repeated until all pass or `seconds` are over."""
    end = time.monotonic() + seconds
    while True:
        rows = [*_executed(api, namespace, pod, questions, seconds), _logged(api, namespace, pod)]
        if all(row.ok for row in rows) or time.monotonic() >= end:
            return rows
        time.sleep(1)


def _executed(api: Pods, namespace: str, pod: PodState, questions: Sequence[PodCommand], seconds: float) -> list[Row]:
    """One row when exec itself fails: an API server or a kubelet may be busy."""
    try:
        _, said = api.execute(namespace, pod.name, ["/bin/sh", "-c", _script(questions)], seconds)
    except BmkError as error:
        return [Row("exec", False, f"{error.what}: {error.why}"[:200], pod.node)]
    _, *parts = _ANSWER.split(said)
    codes, texts = parts[::2], parts[1::2]
    if len(codes) != len(questions):
        return [Row("exec", False, f"it answered {len(codes)} of {len(questions)} questions", pod.node)]
    rows = [q.row(int(code), text, pod.node) for q, code, text in zip(questions, codes, texts, strict=True)]
    return [*rows, Row("exec", True, "", pod.node)]


def _script(questions: Sequence[PodCommand]) -> str:
    return "\n".join(f'said=$({{ {q.command}; }} 2>&1); echo "{_MARK} $?"; echo "$said"' for q in questions)


def _logged(api: Pods, namespace: str, pod: PodState) -> Row:
    try:
        said = api.logs(namespace, pod.name)
    except BmkError as error:
        return Row("logs", False, f"{error.what}: {error.why}"[:200], pod.node)
    return Row("logs", PRINTED in said, "" if PRINTED in said else f"it says {said[:100]!r}", pod.node)
