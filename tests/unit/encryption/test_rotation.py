"""The way to a new key: at no moment does an API server meet an object that it has no key for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bmk.encryption.keys import Key, PlaneKeys
from bmk.encryption.rotation import (
    RotationStep,
    contradiction,
    next_name,
    next_step,
    unreadable,
    wanted,
    way,
)

HOSTS = ("a", "b", "c")
numbers = st.integers(0, 2)


class Rotating(RuleBasedStateMachine):
    """Files, API servers with what they have read, and objects, each under the key that it was written with.

    API servers begin anew whenever they like, clients write at any moment, and bmk dies between any two acts.
    """

    @initialize(count=st.integers(1, 3), keys=st.sampled_from([("key1",), ("key2", "key1"), ("x", "key7")]))
    def begin(self, count: int, keys: tuple[str, ...]) -> None:
        self.files = dict.fromkeys(HOSTS[:count], keys)
        self.read = dict(self.files)
        self.known = dict.fromkeys(self.files, False)  # whether it is known what its API server has read
        self.objects = dict(enumerate(keys))  # something may be under each
        self.target = next_name(self.planes)
        self.proven, self.walk, self.found = False, list[int](), 0

    @property
    def planes(self) -> list[PlaneKeys]:
        return [PlaneKeys(h, tuple(Key(n, n) for n in names), loaded=self.known[h]) for h, names in self.files.items()]

    def host(self, number: int) -> str:
        return list(self.files)[number % len(self.files)]

    @rule(number=numbers)
    def an_api_server_begins_anew(self, number: int) -> None:
        self.read[self.host(number)] = self.files[self.host(number)]

    @rule(number=numbers)
    def a_host_is_started_again(self, number: int) -> None:
        """It does not remember when its file was put there."""
        self.an_api_server_begins_anew(number)
        self.known[self.host(number)] = False

    @rule(number=numbers, name=st.integers(0, 5))
    def a_client_writes(self, number: int, name: int) -> None:
        self.objects[name] = self.read[self.host(number)][0]

    @rule()
    def bmk_is_killed(self) -> None:
        self.proven, self.walk = False, []

    @rule()
    def bmk_does_the_next_thing(self) -> None:
        if self.walk:
            self._look_at_one()
            return
        step = next_step(self.planes, self.target, proven=self.proven)
        if step.act == "put":
            self.files[step.host], self.known[step.host] = step.keys, False
        elif step.act == "restart":
            self.read[step.host], self.known[step.host] = self.files[step.host], True
        elif step.act == "rewrite":
            self.walk, self.found = sorted(self.objects), 0
            self.proven = not self.walk

    def _look_at_one(self) -> None:
        name = self.walk.pop()
        if self.objects[name] != self.target:
            self.found += 1
            self.objects[name] = self.read["a"][0]
        self.proven = not self.walk and not self.found

    @precondition(lambda self: hasattr(self, "files"))
    @invariant()
    def everything_can_be_read_by_all_and_whenever_they_begin_anew(self) -> None:
        written = {names[0] for names in (*self.files.values(), *self.read.values())} | set(self.objects.values())
        for host in self.files:
            assert written <= set(self.files[host]), f"the file of {host} lacks a key"
            assert written <= set(self.read[host]), f"the API server of {host} lacks a key"

    def teardown(self) -> None:
        """However it was disturbed, it comes to its end."""
        if not hasattr(self, "files"):
            return
        for _ in range(200):
            self.bmk_does_the_next_thing()
            self.everything_can_be_read_by_all_and_whenever_they_begin_anew()
        assert next_step(self.planes, self.target).act == "finish"
        assert set(self.files.values()) == set(self.read.values()) == {(self.target,)}
        assert set(self.objects.values()) == {self.target}


TestRotating: Any = Rotating.TestCase
TestRotating.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def plane(host: str, *names: str, loaded: bool = True) -> PlaneKeys:
    return PlaneKeys(host, tuple(Key(name, f"of {name}") for name in names), loaded=loaded)


def test_all_steps_of_three_control_planes() -> None:
    """Each is added to everywhere before it is first anywhere; nothing is dropped before all was written anew."""
    steps = [(s.act, s.stage, s.host, s.keys) for s in way([plane(h, "key1") for h in HOSTS], "key2")]
    added = [("put", "added", h, ("key1", "key2")) for h in HOSTS] + [("restart", "added", h, ()) for h in HOSTS]
    first, dropped = (
        [part for h in HOSTS for part in (("put", stage, h, keys), ("restart", stage, h, ()))]
        for stage, keys in (("first", ("key2", "key1")), ("dropped", ("key2",)))
    )
    rest = [("rewrite", "rewritten", "", ()), *dropped, ("finish", "dropped", "", ())]
    assert steps == [*added, *first, *rest]


@given(st.lists(st.sampled_from(["key1", "key2", "key9", "mine"]), min_size=1, unique=True))
def test_a_name_is_never_used_again(names: list[str]) -> None:
    """etcd names the key of each object, and nothing else tells one key from the other."""
    assert next_name([plane("a", *names), plane("b", "key3")]) not in (*names, "key3")


def test_the_order_of_other_keys_stays() -> None:
    """What a rotation without a record left is dropped with the old one, and can be read until then."""
    assert wanted(("a", "b"), "t", "added") == ("a", "t", "b")
    assert wanted(("a", "t", "b"), "t", "first") == ("t", "a", "b")
    assert wanted(("t", "a", "b"), "t", "dropped") == ("t",)


@pytest.mark.parametrize(
    ("planes", "said"),
    [
        ([plane("a", "key1"), PlaneKeys("b", ())], "b has no file"),
        ([plane("a", "key1"), PlaneKeys("b", (Key("key1", "other"),))], "key1 is another key on a and b"),
        ([plane("a", "key1"), plane("b", "key3")], "a writes with key1, which b cannot read"),
        ([plane("a", "key1", "key1")], "two keys of one name"),
        ([plane("a", *(f"key{n}" for n in range(17)))], "has 17 keys"),
    ],
)
def test_what_contradicts_itself_is_refused(planes: list[PlaneKeys], said: str) -> None:
    """No step would be safe, so none is taken."""
    assert said in contradiction(planes, "key2")


def test_nothing_speaks_against_the_states_of_a_rotation() -> None:
    """On no step of the way a later run is refused."""
    planes = [plane(h, "key1") for h in HOSTS]
    for step in way(planes, "key2"):
        assert contradiction(planes, "key2") == ""
        planes = [_after(p, step) for p in planes]


def _after(p: PlaneKeys, step: RotationStep) -> PlaneKeys:
    return plane(p.host, *step.keys) if (p.host, step.act) == (step.host, "put") else p


def test_what_is_under_a_key_that_one_lacks_is_named() -> None:
    """What is not encrypted at all can be read by everybody."""
    assert unreadable([plane("a", "key1"), plane("b", "key1")], ["key1", ""]) == ""
    assert "under key0, which a, b lacks" in unreadable([plane("a", "key1"), plane("b", "key1")], ["key0"])
