"""What ansible-runner's events become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.ansible.events import END, EventRecorder
from bmk.document import read_document
from bmk.journal import Event
from bmk.paths import content_dir


def _raw(kind: str, host: str = "a", **data: Any) -> dict[str, Any]:
    base = {"host": host, "task": "Write files", "resolved_action": "bmk_files", "duration": 0.5, "res": {}}
    return {"event": kind, "event_data": base | data}


def _record(
    *events: dict[str, Any], hosts: tuple[str, ...] = ("a", "b"), ended: bool = True
) -> tuple[EventRecorder, list[Event]]:
    heard: list[Event] = []
    recorder = EventRecorder(hosts, "configured", heard.append)
    for event in (*events, *([{"event": "playbook_on_stats"}] if ended else [])):
        recorder.handle(event)
    return recorder, heard


def test_calls_are_counted_and_controller_tasks_are_not() -> None:
    """Only what ran on the host counts against the budget."""
    recorder, _ = _record(
        _raw("runner_on_ok"),
        _raw("runner_on_ok", resolved_action="ansible.builtin.assert"),
        _raw("runner_on_ok", resolved_action="ansible.builtin.include_role"),
        _raw("runner_on_ok", res={"changed": False, "bmk_known": True}),
        _raw("runner_on_skipped"),
    )
    assert recorder.results()["a"].calls == 1


def test_a_failure_names_task_message_and_tail() -> None:
    """One bad host is a result with a cause; the other host is unaffected."""
    failed = {"msg": "no space left", "stderr": "line 1\nline 2"}
    recorder, heard = _record(_raw("runner_on_failed", res=failed), _raw("runner_on_ok", host="b"))
    results = recorder.results()
    assert (results["a"].ok, results["a"].failed_task, results["a"].message) == (False, "Write files", "no space left")
    assert results["a"].tail == "line 1\nline 2"
    assert results["b"].ok
    assert [e.kind for e in heard] == ["task.failed", "task.ok"]
    assert heard[0].level == "error"
    assert heard[0].phase == "configured"


def test_an_ignored_failure_is_none() -> None:
    """A task that may fail does not fail its host."""
    recorder, _ = _record(_raw("runner_on_failed", ignore_errors=True, res={"msg": "x"}))
    assert recorder.results()["a"].ok


def test_unreachable_is_said() -> None:
    """A host that does not answer is unreachable, not broken."""
    recorder, _ = _record(_raw("runner_on_unreachable", res={"msg": "connection refused"}))
    result = recorder.results()["a"]
    assert (result.ok, result.unreachable, result.message) == (False, True, "connection refused")


def test_a_host_that_was_never_reached_is_not_ok() -> None:
    """Silence is no success."""
    recorder, _ = _record(_raw("runner_on_ok"))
    assert not recorder.results()["b"].ok


def test_outputs_and_diffs_come_back() -> None:
    """The manifest's digest, notes and every difference reach the caller."""
    diff = [{"before_header": "/etc/x", "before": "a\n", "after": "b\n"}, {"before": "same", "after": "same"}]
    recorder, heard = _record(
        _raw("runner_on_ok", res={"changed": True, "diff": diff, "items": [{"id": "/etc/x", "changed": True}]}),
        _raw("runner_on_ok", res={"bmk_outputs": {"manifest": "abc", "notes": ["cgroup v1"]}}),
    )
    result = recorder.results()["a"]
    assert (result.changed, result.manifest, result.notes) == (1, "abc", ("cgroup v1",))
    assert [d["item"] for d in result.diffs] == ["/etc/x"]
    assert heard[0].data["items"] == ["/etc/x"]


def test_strangers_are_not_heard() -> None:
    """Events of the boot server or of the play as a whole are nobody's result."""
    recorder, heard = _record(_raw("runner_on_ok", host="deployer"), {"event": "playbook_on_start"})
    assert not heard
    assert not recorder.any_task_ran


@pytest.mark.parametrize(("timed_out", "why"), [(True, "the run took too long"), (False, "was killed")])
def test_a_run_that_ended_early_costs_those_that_are_done_nothing(timed_out: bool, why: str) -> None:
    """Its time is over, or Ansible was killed: hosts that came to the end are done; those in the middle have failed."""
    recorder, _ = _record(
        _raw("runner_on_ok", task=END, resolved_action="ansible.builtin.debug"),
        _raw("runner_on_ok", host="b"),
        _raw("runner_on_ok", host="c", resolved_action="bmk_manifest", res={"bmk_outputs": {"manifest": "d"}}),
        hosts=("a", "b", "c", "d"),
        ended=False,
    )
    results = recorder.results(timed_out=timed_out)
    assert {host: result.ok for host, result in results.items()} == {"a": True, "b": False, "c": True, "d": False}
    assert why in results["b"].message
    named = [task["name"] for name in ("init.yml", "join.yml") for task in _tasks(name)[-1:]]
    assert named == [END, END]


def _tasks(playbook: str) -> list[dict[str, Any]]:
    (play,) = read_document(content_dir() / "playbooks" / playbook).value
    return list(play["tasks"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["changed", "msg", "items", "diff", "bmk_outputs", "bmk_known", "stdout", "stderr", "results"])


@given(st.sampled_from(["runner_on_ok", "runner_on_failed"]), st.dictionaries(fields, json_values))
def test_no_answer_of_a_foreign_module_ends_the_run(kind: str, res: dict[str, Any]) -> None:
    """A host chooses what Ansible's own modules return: it is counted and told, and says nothing for bmk's modules."""
    odd = _raw(kind, resolved_action="ansible.builtin.shell", res=res)
    recorder, heard = _record(odd, _raw("runner_on_ok", host="b"))
    results = recorder.results()
    assert results["b"].ok
    assert (results["a"].manifest, results["a"].notes, dict(results["a"].outputs)) == (None, (), {})
    assert results["a"].calls == 1
    assert {event.host for event in heard} == {"a", "b"}
