"""Places for legs: placement groups that the sweep asks for, and what it may use of them.

A place is asked for before there is a leg for it: one that waits is what an autoscaler sees as demand, and what tells the driver
that resources are missing. They are Ray's own: when this process ends, however it ends, they are given back.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray._raylet import PlacementGroupID
from ray.air.execution.resources import placement_group as tune_places
from ray.air.execution.resources.request import ResourceRequest
from ray.air.execution.resources.resource_manager import ResourceManager
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

Group = Any
"""A placement group of Ray."""
Future = Any
"""What is ready when a placement group is placed."""
NODE_LABEL = "ray.io/node-id"
"""Every node has it."""
LOOK_SECONDS = 0.1
"""What waits is looked at at most so often."""


class Groups:
    """Ray's placement groups, as `Places` uses them."""

    def __init__(self, bundles: list[dict[str, float]], name: str = "leg") -> None:
        """`name`: what they are called in `ray list placement-groups`, with a number."""
        self.bundles, self._name = bundles, name
        self._count = itertools.count()

    def ask(self, off: Iterable[str]) -> tuple[Group, Future]:
        """A placement group on none of the nodes `off`, and what is ready when it is placed."""
        shunned = ",".join(sorted(off))
        selectors = [{NODE_LABEL: f"!in({shunned})"}] * len(self.bundles) if shunned else None
        group = placement_group(self.bundles, name=f"{self._name} {next(self._count)}", bundle_label_selector=selectors)
        return group, group.ready()

    def placed(self, asked: list[Future]) -> set[Future]:
        """Which of these are ready."""
        return set(ray.wait(asked, num_returns=len(asked), timeout=0)[0]) if asked else set()

    def nodes_of(self, group: Group) -> list[str]:
        """The nodes that it is placed on; none while it is not, or not any more."""
        table = placement_group_table(group)
        return list(table["bundles_to_node_id"].values()) if table.get("state") == "CREATED" else []

    def id_of(self, group: Group) -> str:
        """What another process of the job finds it by (`place_of`)."""
        return str(group.id.hex())

    def give_back(self, group: Group, asked: Future | None) -> None:
        """Remove it, and what would otherwise wait for it for ever."""
        if asked is not None:
            ray.cancel(asked)
        remove_placement_group(group)


def place_of(identity: str) -> Group:
    """The placement group of this job with that id."""
    return PlacementGroup(PlacementGroupID(bytes.fromhex(identity)))


@dataclass
class Places:
    """As many places as are wanted: asked for, ready for a leg's process, or taken by one."""

    groups: Groups
    is_fit: Callable[[str], bool | None] = lambda node: True
    """Whether a node may be used; None: that is being looked at, and its places wait until it is known."""
    wanted: int = 0
    """Set by `want`."""
    taken: dict[Group, list[str]] = field(default_factory=dict)
    """Those that a process holds, with their nodes."""
    lent: list[Group] = field(default_factory=list)
    """Those of a leg whose process holds another."""
    is_kept: bool = False
    """Whether places that stand empty are not given back, though no leg waits for one."""
    ends_idle: bool = False
    """Whether a process that waits for a leg is to end, for the sake of its place."""
    _asked: dict[Future, Group] = field(default_factory=dict)
    _placed: dict[Group, list[str]] = field(default_factory=dict)
    """Those whose nodes are not all known to be fit."""
    _ready: dict[Group, list[str]] = field(default_factory=dict)
    _off: frozenset[str] = frozenset()
    _looked_at: float = -1.0

    @property
    def usable(self) -> int:
        """Places that a leg's process has or can have now."""
        return len(self._ready) + len(self.taken)

    @property
    def ready(self) -> int:
        """Of them those that no process holds."""
        return len(self._ready)

    @property
    def missing(self) -> int:
        """Places that were asked for and are not there."""
        return len(self._asked) + len(self._placed)

    def futures(self) -> list[Future]:
        """What becomes ready when a place is there."""
        return list(self._asked)

    def want(self, count: int) -> None:
        """So many places from here on: more are asked for, or those that wait or stand empty are given back."""
        self.wanted = count
        for group in list(self._asked.values())[::-1] + list(self._placed) + list(self._ready):
            if self.usable + self.missing + len(self.lent) <= count:
                break
            self._drop(group)
        while self.usable + self.missing + len(self.lent) < count:
            group, asked = self.groups.ask(self._off)
            self._asked[asked] = group

    def keep_off(self, nodes: Iterable[str]) -> None:
        """Places on these nodes only are given back where they stand empty, and no more are asked for there."""
        off = frozenset(nodes)
        if off == self._off:
            return
        self._off = off
        for group in list(self._asked.values()):
            self._drop(group)  # what waits was asked for by other rules
        self.look(is_due=True)
        self.want(self.wanted)

    def look(self, *, is_due: bool = False) -> None:
        """See which places are there by now, and which have gone."""
        now = time.monotonic()
        if not is_due and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for asked in self.groups.placed(list(self._asked)):
            group = self._asked.pop(asked)
            self._placed[group] = self.groups.nodes_of(group)
        for group, nodes in [*self._placed.items(), *self._ready.items()]:
            verdicts = [self.is_fit(node) for node in nodes] or [False]
            if False in verdicts or not self._off.isdisjoint(nodes):
                self._drop(group)
            elif None not in verdicts and group in self._placed:
                self._ready[group] = self._placed.pop(group)
        self.want(self.wanted)

    def take(self) -> Group | None:
        """A place for a process, which holds it until `release`."""
        if not self._ready:
            self.look()
        if not self._ready:
            return None
        group = next(iter(self._ready))
        self.taken[group] = self._ready.pop(group)
        return group

    def release(self, group: Group) -> None:
        """The process that held it is gone."""
        if self.taken.pop(group, None) is not None:
            self.groups.give_back(group, None)
            self.want(self.wanted)

    def lend(self, count: int) -> list[Group]:
        """So many places that stand empty, for more workers of a leg, until each comes to `take_back`."""
        groups = list(self._ready)[:count]
        for group in groups:
            del self._ready[group]
        self.lent += groups
        return groups

    def take_back(self, group: Group) -> None:
        """Its leg is over; what still runs there ends."""
        if group in self.lent:
            self.lent.remove(group)
            self.groups.give_back(group, None)
            self.want(self.wanted)

    def close(self) -> None:
        """Give everything back."""
        self.wanted = 0
        for group in list(self.lent):
            self.take_back(group)
        for group in [*self._asked.values(), *self._placed, *self._ready]:
            self._drop(group)
        for group in list(self.taken):
            self.release(group)

    def _drop(self, group: Group) -> None:
        asked = next((reference for reference, known in self._asked.items() if known == group), None)
        if asked is not None:
            del self._asked[asked]
        self._placed.pop(group, None)
        self._ready.pop(group, None)
        self.groups.give_back(group, asked)


class PlacesOfTune(ResourceManager):  # type: ignore[misc]  # ray has no types
    """Has Tune's trials take the places of a sweep, instead of asking for some of their own."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Nothing: a place is asked for before its leg is."""

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Nothing: another leg takes the place."""

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a place stands empty."""
        self._places.look()
        return self._places.ready > 0

    def acquire_resources(self, resource_request: ResourceRequest) -> Any:
        """A place, as Tune knows them; None while there is none."""
        group = self._places.take()
        if group is None:
            return None
        return tune_places.PlacementGroupAcquiredResources(placement_group=group, resource_request=resource_request)

    def free_resources(self, acquired_resource: Any) -> None:
        """The process in it has ended."""
        self._places.release(acquired_resource.placement_group)

    def get_resource_futures(self) -> list[Future]:
        """What Tune waits for beside its processes."""
        return self._places.futures()

    def update_state(self) -> None:
        """One of those is there."""
        self._places.look(is_due=True)

    def clear(self) -> None:
        """Nothing: who made the places gives them back."""
