"""Places and nodes without a cluster: what is asked for, what is used of it, what a node that joins or goes does to it."""

from collections.abc import Callable
from typing import Any

import pytest

from trm.cluster.connection import Demand, Node
from trm.cluster.growth import check_could_fit, waiting_text
from trm.cluster.places import Groups, Places
from trm.cluster.roster import Roster
from trm.errors import ResourceError

ONE = Demand(1, 1, 0)


class Cluster(Groups):
    """Placement groups of one CPU on nodes that the test adds and takes away."""

    def __init__(self, **cpus: int) -> None:
        super().__init__([{"CPU": 1.0}])
        self.cpus = dict(cpus)
        self.groups: dict[Any, str | None] = {}
        self.off: dict[Any, frozenset[str]] = {}
        self._next = 0

    def place(self) -> None:
        """Place what waits, as Ray does by itself."""
        for group, node in self.groups.items():
            if node is None:
                free = [name for name, count in self.cpus.items() if count > list(self.groups.values()).count(name)]
                self.groups[group] = next((name for name in free if name not in self.off[group]), None)

    def remove(self, node: str) -> None:
        del self.cpus[node]
        self.groups = {group: None if at == node else at for group, at in self.groups.items()}

    def ask(self, off: Any) -> Any:
        self._next += 1
        self.groups[self._next], self.off[self._next] = None, frozenset(off)
        self.place()
        return self._next, f"ready {self._next}"

    def placed(self, asked: list[Any]) -> set[Any]:
        self.place()
        return {one for one in asked if self.groups[int(one.split()[1])] is not None}

    def nodes_of(self, group: Any) -> list[str]:
        node = self.groups[group]
        return [] if node is None else [node]

    def give_back(self, group: Any, asked: Any) -> None:
        del self.groups[group]


def looked(places: Places) -> tuple[int, int, int]:
    """Empty, taken and missing places."""
    places.look(is_due=True)
    return places.ready, len(places.taken), places.missing


def test_what_is_wanted_and_not_there_stays_asked_for_until_it_is_there_or_not_wanted_any_more() -> None:
    cluster = Cluster(a=1)
    places = Places(cluster)
    places.want(3)
    assert looked(places) == (1, 0, 2), "an autoscaler sees two"
    held = places.take()
    assert places.take() is None
    cluster.cpus["b"] = 1
    assert looked(places) == (1, 1, 1)
    places.want(1)
    assert looked(places) == (0, 1, 0)
    assert list(cluster.groups) == [held], "what waited and what stood empty is given back, what is held is not"
    places.close()
    assert not cluster.groups


def test_the_place_of_a_process_that_ended_is_asked_for_again() -> None:
    cluster = Cluster(a=1)
    places = Places(cluster)
    places.want(1)
    looked(places)
    first = places.take()
    assert first is not None
    cluster.remove("a")
    places.release(first)
    assert looked(places) == (0, 0, 1)
    cluster.cpus["b"] = 1
    assert looked(places) == (1, 0, 0)
    assert list(cluster.groups.values()) == ["b"]


def test_no_place_is_used_on_a_node_that_is_off_nor_before_it_was_looked_at() -> None:
    cluster, known = Cluster(a=1, b=1), dict[str, bool | None](a=True, b=None)
    places = Places(cluster, is_fit=lambda node: known[node])
    places.want(2)
    assert looked(places) == (1, 0, 1)
    assert sorted(map(str, cluster.groups.values())) == ["a", "b"], "b's waits for what is said of b"
    known["b"] = False
    places.keep_off({"b"})
    assert looked(places) == (1, 0, 1)
    assert sorted(map(str, cluster.groups.values())) == ["None", "a"]
    assert cluster.off[max(cluster.groups)] == {"b"}
    known["b"] = True
    places.keep_off(())
    assert looked(places) == (2, 0, 0)


class Watched:
    """A roster whose checks answer when the test says so."""

    def __init__(self, **found: str | None) -> None:
        self.said: list[str] = []
        self.due: list[Callable[[], None]] = []
        self.problem: str | None = None
        self.now = 0.0
        self.roster = Roster(found, lambda node: self.problem, self.said.append, clock=lambda: self.now, background=self.due.append)

    def look(self, *nodes: str, leaving: tuple[str, ...] = ()) -> list[str]:
        """The usable ones of these nodes."""
        living = [Node(name, f"10.0.0.{name}", 1, 0) for name in nodes]
        self.roster.look(living, dict.fromkeys(leaving))
        return [node.node_id for node in self.roster.usable]


def test_a_node_that_joins_is_looked_at_first_and_one_that_does_not_fit_is_named() -> None:
    watched = Watched(a=None)
    assert watched.look("a", "b") == ["a"]
    assert watched.roster.is_fit("b") is None
    watched.problem = "workers must run the driver's torch 2.13"
    watched.due.pop()()
    assert watched.look("a", "b") == ["a"]
    assert watched.roster.off == {"b"}
    assert watched.said == ["node 10.0.0.b (b) joined and takes no legs: workers must run the driver's torch 2.13"]
    watched.problem = None
    watched.look("a", "b", "c")
    watched.due.pop()()
    assert watched.look("a", "b", "c") == ["a", "c"]
    assert watched.said[1:] == ["node 10.0.0.c (c) joined"]
    assert not watched.due, "each is looked at once, for now"


def test_a_node_that_did_not_fit_is_looked_at_again_and_takes_legs_when_it_does() -> None:
    watched = Watched(a=None, b="the store did not answer")
    assert watched.look("a", "b") == ["a"]
    assert not watched.due
    watched.problem = "the store did not answer"
    for seconds in (30.0, 60.0):
        watched.now += seconds
        watched.look("a", "b")
        watched.due.pop()()
        watched.look("a", "b")
        assert not watched.due
    assert watched.said == [], "nothing new is known"
    watched.problem = None
    watched.now += 119.0
    watched.look("a", "b")
    assert not watched.due, "each time it takes twice as long"
    watched.now += 1.0
    watched.look("a", "b")
    watched.due.pop()()
    assert watched.look("a", "b") == ["a", "b"]
    assert watched.said == ["node 10.0.0.b (b) takes legs from here on"]


def test_a_node_that_cannot_be_looked_at_is_named() -> None:
    watched = Watched(a=None)
    watched.roster._check = lambda node: (_ for _ in ()).throw(MemoryError("no room"))
    watched.look("a", "b")
    watched.due.pop()()
    assert watched.look("a", "b") == ["a"]
    assert watched.said == ["node 10.0.0.b (b) joined and takes no legs: it could not be looked at: MemoryError: no room"]


def test_a_node_that_leaves_takes_no_more_legs() -> None:
    watched = Watched(a=None, b=None)
    assert watched.look("a", "b", leaving=("b",)) == ["a"]
    assert set(watched.roster.leaving) == watched.roster.off == {"b"}
    assert watched.look("a") == ["a"]
    assert watched.roster.is_gone("b")
    assert watched.roster.off == set(), "nothing has to be kept off what is not there"
    assert watched.roster.is_fit("b") is False
    assert watched.said == [
        "node 10.0.0.b (b) is to leave: its legs save, and go on elsewhere",
        "node 10.0.0.b (b) left",
    ]


def test_a_node_that_lost_a_leg_rests_while_another_can_run_it() -> None:
    watched = Watched(a=None, b=None)
    watched.look("a", "b")
    watched.roster.lost("b", trial=3)
    assert watched.look("a", "b") == ["a"]
    watched.now = 31.0
    assert watched.look("a", "b") == ["a", "b"]
    assert watched.said == ["node 10.0.0.b (b) lost a leg and takes none for 30 s"]
    watched.roster.lost("a", trial=3)
    assert watched.look("a") == [], "it still rests"


@pytest.mark.parametrize(
    ("sizes", "types", "is_refused"),
    [
        ([2], [], True),
        ([0], [], False),  # a head alone: its workers are on their way
        ([0], [("small", 2, 10)], True),
        ([0], [("small", 2, 10), ("large", 4, 1)], False),
        ([0], [("large", 4, 0)], True),
        ([4], [("small", 2, 10)], False),
    ],
)
def test_a_trial_that_no_node_could_ever_hold_is_refused(
    sizes: list[int], types: list[tuple[str, int, int]], is_refused: bool
) -> None:
    nodes = [Node(str(number), "10.0.0.1", cpus, 0) for number, cpus in enumerate(sizes)]
    known = [(name, Node(name, name, cpus, 0), count) for name, cpus, count in types]
    if not is_refused:
        check_could_fit(Demand(1, 4, 0), nodes, known)
        return
    has = "'s node types are up to (10 small|0 large)" if types else " has 10.0.0.1: 2 CPUs"
    with pytest.raises(ResourceError, match=f"a trial asks for 4 CPUs, and the cluster{has}"):
        check_could_fit(Demand(1, 4, 0), nodes, known)


def test_a_gang_may_need_several_nodes_of_a_type() -> None:
    known = [("small", Node("small", "small", 2, 0), 2)]
    check_could_fit(Demand(4, 1, 0), [], known)
    with pytest.raises(ResourceError, match="up to 2 small with 2 CPUs"):
        check_could_fit(Demand(5, 1, 0), [], known)


def test_what_is_waited_for_is_told_with_what_is_free() -> None:
    nodes = [Node("a", "10.0.0.1", 1, 1), Node("b", "10.0.0.2", 1, 0)]
    free = {"a": {"CPU": 1.0}, "b": {}, "other": {"CPU": 64.0}}
    assert waiting_text(Demand(1, 2, 0), nodes, free) == "waiting for 2 CPUs, 1 of 2 is free"
    assert waiting_text(Demand(1, 1, 1), nodes, free) == "waiting for 1 CPUs and 1 GPUs, 1 of 2 CPUs and 0 of 1 GPUs are free"
    assert waiting_text(Demand(2, 1, 0), [], {}) == "waiting for 2 workers with 1 CPUs each: no node can take legs"
