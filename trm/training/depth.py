"""How deep each step of a run is: its depth schedule, on the run's own steps."""

from collections.abc import Iterator
from contextlib import contextmanager

from trm.config.run import RunConfig
from trm.config.step_costs import boundaries
from trm.models.network import Network


class Depths:
    """The recursion of each step of one run of `max_steps`; outside of its steps the network is as deep as it is configured."""

    def __init__(self, config: RunConfig, network: Network, max_steps: int) -> None:
        """ConfigError where there is a schedule and the network's recursion cannot change."""
        parts = config.depth_parts
        self._recursions = [part.model.recursion for part in parts]
        self._firsts = [0, *boundaries([part.share for part in parts], max_steps)]
        if len(parts) > 1:
            network.recurse(self._recursions[-1])

    def stage(self, step: int) -> int:
        """Number of the stage that the step belongs to which is made after `step` others."""
        return max(number for number, first in enumerate(self._firsts) if first <= step)

    @contextmanager
    def at(self, step: int, network: Network) -> Iterator[None]:
        """Within it the network is as deep as in the step made after `step` others."""
        if len(self._recursions) == 1:
            yield
            return
        network.recurse(self._recursions[self.stage(step)])
        try:
            yield
        finally:
            network.recurse(self._recursions[-1])
