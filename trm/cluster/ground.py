"""What legs stand on: nodes that may take them and places on those, looked at once a second."""

import threading
from typing import NamedTuple, Protocol, runtime_checkable

from ray.actor import ActorHandle

from trm.cluster.connection import Demand, Node, fitting_trials, leaving_nodes, living_nodes
from trm.cluster.growth import free_now, waiting_text
from trm.cluster.places import Places
from trm.cluster.roster import Roster

NEWS_SECONDS = 1.0


@runtime_checkable
class LegGround(Protocol):
    """What a driver asks of the machines."""

    @property
    def slots(self) -> int:
        """Legs that the nodes take side by side; 0: there is no node left that could run one."""

    @property
    def wants(self) -> int:
        """Legs that the sweep would run side by side."""

    def look(self) -> None:
        """See what joined, left and became free."""

    def missing(self) -> str | None:
        """What is waited for, in words; None: a leg has a place, or could have one."""

    def name(self, node_id: str) -> str:
        """What a person knows the node by."""

    def is_gone(self, node_id: str) -> bool:
        """Whether the node was lost."""

    def lost(self, node_id: str, trial: int) -> None:
        """A leg was lost on the node, which lives."""

    def ended(self, node_id: str) -> None:
        """A leg came to an end of its own there."""


class News(NamedTuple):
    """The cluster at one moment."""

    nodes: list[Node]
    leaving: dict[str, float | None]
    free: dict[str, dict[str, float]]

    @classmethod
    def now(cls) -> "News":
        """Three questions to the head service, a millisecond each."""
        return cls(living_nodes(), leaving_nodes(), free_now())


class Ground:
    """The cluster under a sweep's legs; see `LegGround`. A context manager: while entered, a thread asks for news.

    A head that has died leaves who asks it without an answer for a minute; the driver has better to do.
    """

    def __init__(self, demand: Demand, wanted: int | None, roster: Roster, places: Places, board: ActorHandle) -> None:
        """`wanted`: legs side by side; null: as many as fit the nodes."""
        self._demand, self._wanted, self._roster, self._places, self._board = demand, wanted, roster, places, board
        self._news, self._over = News.now(), threading.Event()
        self._thread = threading.Thread(target=self._ask, name="cluster-news", daemon=True)
        places.is_fit = roster.is_fit
        self._off: tuple[set[str], set[str]] = set(), set()
        self._most = 1
        self.slots = 0
        self.name, self.is_gone, self.lost, self.ended = roster.name, roster.is_gone, roster.lost, roster.ended
        self.look()

    def __enter__(self) -> "Ground":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(timeout=NEWS_SECONDS)

    def _ask(self) -> None:
        while not self._over.wait(NEWS_SECONDS):
            try:
                self._news = News.now()
            except Exception:  # Ray raises classes of every kind when its head is gone, which is somebody else's to notice
                continue

    @property
    def wants(self) -> int:
        """As it was told, else as many as ran at most: what was lost is wanted back."""
        return self._wanted or self._most

    def look(self) -> None:
        """Nodes first, then places, then what legs have to hear of it."""
        news = self._news
        self._roster.look(news.nodes, news.leaving)
        off = self._roster.off, set(self._roster.leaving)
        if off != self._off:
            self._off = off
            self._board.keep_off.remote(*off)
        self._places.keep_off(off[0])
        self._places.look(is_due=True)
        self.slots = fitting_trials(self._roster.usable, self._demand, self._wanted)
        self._most = max(self._most, self.slots)

    def missing(self) -> str | None:
        """Told from the places: one that is ready, or that a process holds, is what a leg needs."""
        if self._places.usable or not self._places.missing:
            return None
        return waiting_text(self._demand, [node for node in self._roster.usable if node.cpus], self._news.free)
