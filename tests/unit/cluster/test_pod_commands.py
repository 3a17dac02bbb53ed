"""What the smoke test makes of the answers of one node; the shell that answers here is this machine's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest

from bmk.cluster.api import PodState
from bmk.cluster.pod_commands import PRINTED, PodCommand, Row, answered, ask_node
from bmk.errors import Unreachable

POD = PodState("web-worker-1", "Running", True, "10.1.0.7", "worker-1")
QUESTIONS = (
    PodCommand("works", "echo hello world", "hello"),
    PodCommand("fails", "echo no such host >&2; exit 4", "host"),
)


@dataclass
class Shell:
    """Executes here; `printed` is the log. Exec or logs fail as they do where a kubelet's certificate is not signed."""

    printed: str = f"{PRINTED}\n"
    broken: str = ""
    lies: str | None = None  # what a node that was taken over answers

    def execute(self, namespace: str, pod: str, command: list[str], seconds: float) -> tuple[int, str]:
        if self.broken == "exec":
            raise Unreachable("the Kubernetes API is not ready", why="remote error: tls: internal error")
        if self.lies is not None:
            return 0, self.lies
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # of a busy machine
        return done.returncode, done.stdout + done.stderr

    def logs(self, namespace: str, pod: str) -> str:
        if self.broken == "logs":
            raise Unreachable("the Kubernetes API is not ready", why="remote error: tls: internal error")
        return self.printed


def asked(shell: Shell, *questions: PodCommand) -> dict[str, Row]:
    return {row.name: row for row in ask_node(shell, "n", POD, questions or QUESTIONS, 0.1)}


def test_each_question_is_a_row_that_names_the_node() -> None:
    """What was said stands in it, and one that fails keeps no other from being asked."""
    rows = asked(Shell(), *reversed(QUESTIONS))
    assert rows["works"] == Row("works", True, "hello world", "worker-1")
    assert rows["fails"] == Row("fails", False, "no such host", "worker-1")
    assert rows["exec"].ok
    assert rows["logs"].ok


@pytest.mark.parametrize("broken", ["exec", "logs"])
def test_a_kubelet_that_nobody_can_ask_is_the_culprit(broken: str) -> None:
    """Not the names or the network: of those nothing is known then."""
    rows = asked(Shell(broken=broken), QUESTIONS[0])
    assert [row.name for row in rows.values() if not row.ok] == [broken]
    assert "tls: internal error" in rows[broken].detail
    assert rows[broken].host == "worker-1"
    assert ("works" in rows) == (broken == "logs")


def test_a_shell_that_ends_early_is_told() -> None:
    """A pod that is killed in between has not answered the rest."""
    rows = asked(Shell(), PodCommand("ends", "kill $$"), QUESTIONS[0])
    assert "of 2 questions" in rows["exec"].detail


@pytest.mark.parametrize(
    "lies", ["", "@@bmk", "@@bmk x\nhello\n", f"@@bmk {'9' * 5000}\nhello\n", "x @@bmk 0\nhello\n"]
)
def test_a_node_that_answers_anything_is_the_culprit(lies: str) -> None:
    """It ends the smoke test of no other node."""
    rows = asked(Shell(lies=lies), QUESTIONS[0])
    assert (rows["exec"].ok, rows["exec"].host) == (False, "worker-1")


def test_it_is_asked_again_until_it_works() -> None:
    """A kubelet or a name server may be busy for a moment."""
    shell = Shell(printed="")

    class Later(Shell):
        def logs(self, namespace: str, pod: str) -> str:
            shell.printed, before = PRINTED, shell.printed
            return before

    assert all(row.ok for row in ask_node(Later(), "n", POD, QUESTIONS[:1], 10))


@pytest.mark.parametrize(
    ("code", "text", "good"),
    [
        (0, "Name: ntp.example.net Address: 192.0.2.1", True),
        (1, "** server can't find 1.0.0.10.in-addr.arpa: NXDOMAIN", True),
        (1, "** server can't find ntp.example.net: SERVFAIL", False),
        (1, ";; connection timed out; no servers could be reached", False),
        (1, "** server can't find ntp.example.net: REFUSED", False),
    ],
)
def test_that_a_name_does_not_exist_is_an_answer(code: int, text: str, good: bool) -> None:
    """Somebody outside said so; CoreDNS that reaches nobody says SERVFAIL or nothing."""
    assert answered(code, text) == good
