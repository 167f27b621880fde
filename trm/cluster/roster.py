"""The nodes of the cluster that legs may run on: living, looked at, not about to leave, and not resting after a loss."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from trm.cluster.connection import Node
from trm.console.redaction import reason_of
from trm.sweeps.blame import Blame

AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 30.0, 600.0
"""A node that does not fit is looked at again after so long, and twice as long after each further time."""


def in_thread(work: Callable[[], None]) -> None:
    """Do it in a thread that the process does not wait for."""
    threading.Thread(target=work, name="node-check", daemon=True).start()


class Roster:
    """Told once a second which nodes there are, it has new ones looked at, and knows which may take legs."""

    def __init__(
        self,
        found: Mapping[str, str | None],
        check: Callable[[Node], str | None],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        background: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        """`found`: what is wrong with the nodes that are known, by their id; null: nothing.

        `check` finds that out of a node that joins; `background` has it done meanwhile. `say` tells a person.
        """
        self._found = dict(found)
        self._check, self._say, self._clock, self._background = check, say, clock, background
        self._living: dict[str, Node] = {}
        self._gone: set[str] = set()
        self._asked: set[str] = set()
        """Those that are looked at."""
        self._told: dict[str, str | None] = dict(found)
        self._again = {node_id: (clock() + AGAIN_SECONDS, AGAIN_SECONDS) for node_id in found}
        """When those that do not fit are looked at once more, and after how long that is."""
        self.leaving: dict[str, float | None] = {}
        """Nodes that are drained, with the unix time at which they go; null: as soon as nothing runs there."""
        self._blame = Blame()

    def look(self, nodes: Iterable[Node], leaving: Mapping[str, float | None]) -> None:
        """These are the living nodes now, and those of them that are drained."""
        before, self._living = self._living, {node.node_id: node for node in nodes}
        for node_id in before.keys() - self._living.keys():
            self._gone.add(node_id)
            self._say(f"node {before[node_id]} left")
            self._blame.left(node_id)
        for node_id in leaving.keys() & self._living.keys() - self.leaving.keys():
            until = leaving[node_id]
            when = "" if until is None else f" in {max(0.0, until - time.time()):.0f} s"
            self._say(f"node {self._living[node_id]} is to leave{when}: its legs save, and go on elsewhere")
        self.leaving = {node_id: until for node_id, until in leaving.items() if node_id in self._living}
        for node_id, node in self._living.items():
            self._gone.discard(node_id)
            if self._is_due(node_id):
                self._asked.add(node_id)
                self._background(lambda node=node: self._look_at(node))  # type: ignore[misc]
            elif node_id in self._found and self._told.get(node_id, "") != self._found[node_id]:
                self._say(self._news_of(node))
                self._told[node_id] = self._found[node_id]

    def _is_due(self, node_id: str) -> bool:
        """Whether to look at the node: nobody did, or it did not fit, for a reason that may have passed."""
        if node_id in self._asked:
            return False
        return node_id not in self._found or (self._found[node_id] is not None and self._clock() >= self._again[node_id][0])

    def _news_of(self, node: Node) -> str:
        problem, is_new = self._found[node.node_id], node.node_id not in self._told
        if problem is None:
            return f"node {node} joined" if is_new else f"node {node} takes legs from here on"
        return f"node {node} {'joined and ' if is_new else ''}takes no legs: {problem}"

    def _look_at(self, node: Node) -> None:
        try:
            problem = self._check(node)
        except Exception as error:  # in a thread of its own: nobody else would hear of it
            problem = f"it could not be looked at: {reason_of(error, 300)}"
        wait = min(LONGEST_AGAIN_SECONDS, 2 * self._again[node.node_id][1]) if node.node_id in self._again else AGAIN_SECONDS
        self._again[node.node_id] = self._clock() + wait, wait
        self._found[node.node_id] = problem
        self._asked.discard(node.node_id)

    @property
    def usable(self) -> list[Node]:
        """Nodes that may take legs now."""
        return [node for node_id, node in self._living.items() if self.is_fit(node_id)]

    @property
    def off(self) -> set[str]:
        """Ids of living nodes that may take none."""
        return {node_id for node_id in self._living if self.is_fit(node_id) is False}

    def is_fit(self, node_id: str) -> bool | None:
        """Whether the node may take legs now; None while it is looked at."""
        if node_id in self._gone or node_id in self.leaving or self._blame.is_off(node_id, self._clock()):
            return False
        return self._found[node_id] is None if node_id in self._found else None

    def is_gone(self, node_id: str) -> bool:
        """Whether it was there and is not any more."""
        return node_id in self._gone

    def name(self, node_id: str) -> str:
        """What a person knows it by."""
        return str(self._living[node_id]) if node_id in self._living else f"node {node_id[:8]}"

    def lost(self, node_id: str, trial: int) -> None:
        """A leg of the trial was lost there, though the node lives."""
        if node_id not in self._living:
            return
        is_alone = not any(other.node_id != node_id for other in self.usable)
        became = self._blame.lost(node_id, trial, self._clock(), is_alone=is_alone)
        if became is not None:
            self._say(f"node {self.name(node_id)} {became}")

    def ended(self, node_id: str) -> None:
        """A leg came to an end of its own there."""
        self._blame.ended(node_id)
