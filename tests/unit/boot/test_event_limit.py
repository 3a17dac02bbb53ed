"""What strangers ask is journaled as often as it tells something, whatever they make up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bmk.boot import grants
from bmk.boot.event_limit import MOST, PERIOD, EventLimit
from bmk.boot.grants import Permission
from bmk.boot.request_context import RequestContext
from bmk.boot.watch import _tell_repeats
from tests.unit.boot.asking import ask

Wanted = Callable[[str], Permission]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 100)), max_size=300))
def test_events_of_a_subject_are_limited_and_the_rest_is_counted(asked: list[tuple[str | None, int]]) -> None:
    """Of each subject at most MOST different things in a period; what is told and what is counted add up."""
    limit: EventLimit[str | None] = EventLimit()
    told = [(subject, thing) for subject, thing in asked if limit.admits(subject, thing, 1.0)]
    assert len(told) == len(set(told))
    for subject in ("a", "b", None):
        assert sum(s == subject for s, _ in told) <= MOST
    assert limit.roll_over(1.0 + PERIOD / 2) == []
    assert len(told) + sum(count for _, count in limit.roll_over(1.0 + PERIOD)) == len(asked)
    assert limit.admits("a", 1, 2.0 + PERIOD)


def test_a_flood_of_strangers_is_a_few_events_and_a_count(context: RequestContext) -> None:
    """3,000 questions with 3,000 MACs, serials and addresses: some events, then how many more there were."""
    for number in range(3000):
        mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        target = f"/boot/ipxe?mac={mac}&serial=S{number}&platform=efi"
        ask(context, target, client=f"10.20.{number >> 8}.{number & 255}")
    assert len(context.reader.since(kind="boot.answered")) == MOST
    context.now = lambda: 1000.0 + PERIOD
    asyncio.run(_tell_repeats(context))
    (told,) = context.reader.since(kind="boot.repeated")
    assert told.data["count"] == 3000 - MOST
    assert context.reader.size() < 1 << 20


def test_requests_from_other_addresses_do_not_use_up_a_hosts_limit(context: RequestContext, wanted: Wanted) -> None:
    """A stranger asks as cp-1 from ever other addresses; what cp-1 itself asks is journaled all the same."""
    asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, wanted("cp-1"), context.now())))
    for number in range(500):
        ask(context, f"/boot/ipxe?mac=52:54:00:20:00:11&serial=X{number}", client=f"10.20.9.{number % 250}")
        ask(context, "/agent/0123/claim", client=f"10.20.9.{number % 250}", body={"n": number})
    ask(context, "/boot/ipxe?mac=52:54:00:20:00:11&serial=SN-0001")
    events = [event for event in context.reader.since() if event.kind.startswith(("boot.", "agent.", "install."))]
    assert MOST < len(events) <= 2 * MOST + 1
    assert events[-1].data["client"] == "10.20.0.11"
