"""Tasks of the boot service: one that fails begins again, the others do not notice, and people can see it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bmk.boot.request_context import RequestContext
from bmk.boot.supervise import KEY, OWNER, TaskState, TaskSupervisor, read_state
from bmk.boot.watch import FileWatcher, stamp, tasks
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter

HALL = Path(__file__).parent / "hall"


class Ended(Exception):
    """The test has seen enough."""


async def _until(supervisor: TaskSupervisor, work: dict[str, Callable[[], object]], seen: Callable[[], bool]) -> None:
    running = asyncio.create_task(supervisor.run(work))  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_task_that_fails_begins_again_alone(context: RequestContext) -> None:
    """It waits longer each time, is told once per problem, and its state is in the journal; another one runs on."""
    waits: list[float] = []
    turns = {"good": 0, "bad": 0}

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async def good() -> None:
        while True:
            turns["good"] += 1
            await asyncio.sleep(0)

    async def bad() -> None:
        turns["bad"] += 1
        raise OSError("No space left on device")

    supervisor = TaskSupervisor(context.writer, context.now, pause)
    asyncio.run(_until(supervisor, {"good": good, "bad": bad}, lambda: turns["bad"] >= 8 and turns["good"] >= 8))
    state = read_state(context.reader)
    assert state is not None
    assert state.tasks["bad"].restarts >= 6
    assert state.tasks["bad"].error == "OSError: No space left on device"
    assert (state.tasks["good"].alive, state.tasks["good"].restarts) == (True, 0)
    assert [seconds for seconds in waits if seconds != 15.0][:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) <= 60.0
    assert len(context.reader.since(kind="boot.task_failed")) == 1


def test_a_journal_that_cannot_be_written_ends_no_task(
    context: RequestContext, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk fails the record of states too: the log says so, and the supervisor goes on."""
    turns = 0

    async def bad() -> None:
        nonlocal turns
        turns += 1
        raise RuntimeError("x")

    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)

    context.writer._journal.close()
    asyncio.run(_until(TaskSupervisor(context.writer, context.now, pause), {"bad": bad}, lambda: turns >= 5))
    assert "the journal cannot be written" in capsys.readouterr().err


def test_a_service_that_ends_in_good_order_is_not_missed(context: RequestContext) -> None:
    """Stopped, it leaves no state that grows old; a record that is none is no state either."""
    supervisor = TaskSupervisor(context.writer, context.now, states={"files": TaskState()})
    asyncio.run(context.writer.run(supervisor._record))
    assert read_state(context.reader) is not None
    asyncio.run(supervisor.close())
    assert read_state(context.reader) is None
    asyncio.run(context.writer.run(lambda journal: journal.record(OWNER, KEY, ["odd"])))
    assert read_state(context.reader) is None


@pytest.fixture
def copied(context: RequestContext, tmp_path: Path) -> Path:
    """The context serves a data center whose files may be changed."""
    room = tmp_path / "copy"
    room.mkdir()
    for name in ("dc.yml", "addresses.yml"):
        (room / name).write_text((HALL / name).read_text())
    context.serve(load_datacenter(room))
    return room


def test_files_that_cannot_be_looked_at_stop_no_reload(context: RequestContext, copied: Path) -> None:
    """An editor's dangling lock link, a loop of links and a link to nowhere are not the end of noticing changes."""
    changes = FileWatcher(context, lambda: load_datacenter(copied))
    (copied / ".#dc.yml").symlink_to("somebody@nowhere.1234")
    (copied / "gone.yml").symlink_to("nowhere")
    (copied / "round.yml").symlink_to("round.yml")
    (copied / "round").symlink_to(".", target_is_directory=True)
    asyncio.run(changes.look())
    assert context.reader.since(kind="boot.reloaded") == []
    text = (copied / "dc.yml").read_text()
    (copied / "dc.yml").write_text(text.replace("52:54:00:20:00:21", "52:54:00:20:00:99"))
    asyncio.run(changes.look())
    assert context.host_by_mac("52:54:00:20:00:99") is not None


def test_a_change_is_not_lost_when_reloading_fails_otherwise(context: RequestContext, copied: Path) -> None:
    """What is not the file's fault (a full disk, no memory) fails the task and is tried again at the next look."""
    troubles: list[Exception] = [OSError("No space left on device")]

    def reload() -> DataCenter:
        if troubles:
            raise troubles.pop()
        return load_datacenter(copied)

    changes = FileWatcher(context, reload)
    (copied / "dc.yml").write_text((copied / "dc.yml").read_text() + "# changed\n")
    with pytest.raises(OSError, match="No space"):
        asyncio.run(changes.look())
    asyncio.run(changes.look())
    assert len(context.reader.since(kind="boot.reloaded")) == 1


def test_a_file_that_goes_or_comes_back_older_is_a_change(copied: Path) -> None:
    """Not only what is newer counts: a removed file and an older one that was put back are changes too."""
    before = stamp(copied)
    os.utime(copied / "dc.yml", (1.0, 1.0))
    older = stamp(copied)
    (copied / "addresses.yml").unlink()
    assert len({before, older, stamp(copied)}) == 3


def test_every_task_of_the_service_is_supervised(context: RequestContext) -> None:
    """The four of them run beside each other, and none ends by itself."""
    supervisor = TaskSupervisor(context.writer, context.now)
    asyncio.run(
        _until(supervisor, tasks(context, lambda: context.dc), lambda: context.reader.facts(OWNER).get(KEY) is not None)  # type: ignore[arg-type]
    )
    assert set(supervisor.states) == {"dhcp-log", "leases", "grants", "files", "repeats", "state"}
    assert all(state.restarts == 0 for state in supervisor.states.values())
