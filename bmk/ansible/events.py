"""ansible-runner's events as journal events, and the sum of them for each host. Pure: dicts in, values out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from bmk.journal import Event
from bmk.journal.events import Level

# Actions that run on the controller only; anything else is a call of a module on the host.
LOCAL_ACTIONS = frozenset(
    {"add_host", "assert", "debug", "fail", "group_by", "import_role", "import_tasks", "include_role", "include_tasks",
     "include_vars", "meta", "pause", "set_fact", "set_stats", "validate_argument_spec"}
)  # fmt: skip


END = "End of the play"  # the last task of a playbook that leaves no manifest
_CUT = "Ansible ended before it was done with this host: it, or a worker of it, was killed"


@dataclass(frozen=True, slots=True)
class HostResult:
    """What one run did to one host.

    `changed` counts tasks that changed something (would change, in check mode), `calls` the modules that ran on the
    host, `seconds` their time. `manifest`: digest of the manifest the host now carries, None when the play did not get
    there. `notes` are lines a person should see; `diffs` is what changed: {task, item, before, after}.
    """

    ok: bool
    changed: int = 0
    unreachable: bool = False
    failed_task: str | None = None
    message: str = ""
    tail: str = ""
    calls: int = 0
    seconds: float = 0.0
    manifest: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    diffs: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class _Tally:
    seen: bool = False
    done: bool = False
    changed: int = 0
    calls: int = 0
    seconds: float = 0.0
    unreachable: bool = False
    failed_task: str | None = None
    message: str = ""
    tail: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    diffs: list[Mapping[str, Any]] = field(default_factory=list)


class EventRecorder:
    """Takes ansible-runner's events, passes them on as events of the journal, adds them up."""

    def __init__(self, hosts: Iterable[str], phase: str | None, on_event: Callable[[Event], None]) -> None:
        self._tallies = {host: _Tally() for host in hosts}
        self._phase, self._on_event = phase, on_event
        self.ended = False  # whether Ansible went through the playbook to its end
        self._lock = threading.Lock()

    @property
    def any_task_ran(self) -> bool:
        """Whether any task ran on any host."""
        return any(t.seen for t in self._tallies.values())

    def handle(self, raw: Mapping[str, Any]) -> bool:
        """One event of ansible-runner. Returns True: it may be written down (Ansible has censored what is secret)."""
        kind, data = raw.get("event", ""), raw.get("event_data") or {}
        self.ended = self.ended or kind == "playbook_on_stats"
        if kind in _HEARD and data.get("host") in self._tallies:
            with self._lock:
                self._count(kind, data)
        return True

    def _count(self, kind: str, data: Mapping[str, Any]) -> None:
        tally, res = self._tallies[data["host"]], _told(data)
        tally.seen = True
        outcome = _outcome(kind, data, res)
        if outcome == "skipped":
            return
        remote = _is_call(data, res)
        tally.calls += remote
        tally.seconds += float(data.get("duration") or 0)
        tally.changed += bool(res.get("changed"))
        tally.diffs.extend(_diffs(data, res))
        tally.outputs.update(res.get("bmk_outputs") or {})
        tally.done = tally.done or data.get("task") == END or "manifest" in tally.outputs
        if outcome in ("failed", "unreachable"):
            tally.unreachable = outcome == "unreachable"
            tally.failed_task, tally.message, tally.tail = data.get("task"), _message(res), _output(res)
        self._on_event(_event(outcome, data, res, remote, self._phase))

    def results(self, *, timed_out: bool = False) -> dict[str, HostResult]:
        """The result of every host asked for."""
        cut = "" if self.ended else "the run took too long" if timed_out else _CUT
        return {host: _result(tally, cut) for host, tally in self._tallies.items()}


_LONGEST = 1 << 16  # characters of one text of a module that is not ours
_TEXTS = ("msg", "censored", "stdout", "stderr", "module_stdout", "module_stderr")


def _told(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of a task. Ours have passed their model (answers.py); of any other module the host chose all of it."""
    res = data.get("res") or {}
    if _action(data).startswith("bmk_"):
        return cast(Mapping[str, Any], res)
    return {"changed": res.get("changed") is True, **{k: str(res[k])[:_LONGEST] for k in _TEXTS if res.get(k)}}


def _action(data: Mapping[str, Any]) -> str:
    """The module's or plug-in's own name."""
    return str(data.get("resolved_action") or data.get("task_action") or "").rpartition(".")[2]


_HEARD = {"runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped"}


def _outcome(kind: str, data: Mapping[str, Any], res: Mapping[str, Any]) -> str:
    if kind == "runner_on_failed" and not data.get("ignore_errors"):
        return "failed"
    if kind in ("runner_on_unreachable", "runner_on_skipped"):
        return kind.removeprefix("runner_on_")
    return "changed" if res.get("changed") else "ok"


def _is_call(data: Mapping[str, Any], res: Mapping[str, Any]) -> bool:
    return _action(data) not in LOCAL_ACTIONS and not res.get("bmk_known")


def _event(outcome: str, data: Mapping[str, Any], res: Mapping[str, Any], remote: bool, phase: str | None) -> Event:
    levels: dict[str, Level] = {"failed": "error", "unreachable": "error", "changed": "info"}
    text = str(data.get("task") or "")
    if outcome in ("failed", "unreachable"):
        text = f"{text}: {_message(res)}"
    detail = {
        "task": data.get("task"),
        "role": data.get("role"),
        "seconds": data.get("duration"),
        "call": remote,
        "items": [i.get("id") for i in res.get("items") or () if isinstance(i, Mapping) and i.get("changed")],
    }
    if outcome in ("failed", "unreachable"):
        detail["tail"] = _output(res)
    return Event(
        "ansible",
        f"task.{outcome}",
        text,
        cast(str, data.get("host")),
        phase,
        level=levels.get(outcome, "debug"),
        data=detail,
    )


def _message(res: Mapping[str, Any]) -> str:
    return str(res.get("msg") or res.get("censored") or "no message").strip()


def _output(res: Mapping[str, Any], lines: int = 20) -> str:
    text = "\n".join(str(res[k]) for k in ("stdout", "stderr", "module_stdout", "module_stderr") if res.get(k))
    return "\n".join(text.strip().splitlines()[-lines:])


def _diffs(data: Mapping[str, Any], res: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    diffs = res.get("diff") or ()
    for diff in [diffs] if isinstance(diffs, Mapping) else diffs:
        if isinstance(diff, Mapping) and diff.get("before") != diff.get("after"):
            item = diff.get("before_header") or diff.get("after_header") or ""
            yield {"task": data.get("task"), "item": item, "before": diff.get("before"), "after": diff.get("after")}


def _result(tally: _Tally, cut: str) -> HostResult:
    """`cut`: why the run ended before its end, which costs those that were done already nothing."""
    half = bool(cut) and not tally.done
    failed = tally.failed_task is not None or tally.unreachable or not tally.seen or half
    message = tally.message or (cut if half else "" if tally.seen else "the play never reached this host")
    return HostResult(
        ok=not failed,
        changed=tally.changed,
        unreachable=tally.unreachable,
        failed_task=tally.failed_task,
        message=message,
        tail=tally.tail,
        calls=tally.calls,
        seconds=round(tally.seconds, 3),
        manifest=tally.outputs.get("manifest"),
        outputs=tally.outputs,
        notes=tuple(tally.outputs.get("notes") or ()),
        diffs=tuple(tally.diffs),
    )
