"""Exponential moving average of the weights, the ones that are evaluated and exported."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """average = rate * average + (1 - rate) * weight, for every named parameter, from the initial weights on.

    With `warmup` the rate of step t is min(rate, (1 + t) / (10 + t)), so that a short run's average is not its start.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], *, rate: float, warmup: bool = False) -> None:
        self.rate, self.warmup = rate, warmup
        self._parameters = dict(parameters)
        self.average = {name: p.detach().clone() for name, p in self._parameters.items()}

    def rate_at(self, step: int) -> float:
        """The rate that step `step` (from 1) uses."""
        return min(self.rate, (1 + step) / (10 + step)) if self.warmup else self.rate

    def update(self, step: int) -> None:
        """Moves the average towards the weights as they stand after step `step` (from 1)."""
        self.move(1 - self.rate_at(step))

    @torch.no_grad()
    def move(self, share: float | Tensor) -> None:
        """Moves the average by `share` of its way to the weights; a () tensor of their type is read on their device."""
        average, weights = list(self.average.values()), list(self._parameters.values())
        torch._foreach_lerp_(average, weights, [share] * len(weights) if isinstance(share, Tensor) else share)

    @torch.no_grad()
    def load(self, average: Mapping[str, Tensor]) -> None:
        """Takes over a saved average; its names must be those of the parameters."""
        assert average.keys() == self.average.keys(), "a saved average belongs to another network"
        for name, value in average.items():
            self.average[name].copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within the context the parameters hold the average and the average what they held; afterwards all is as it was.

        Values change places, not addresses, which recorded steps hold; one weight at a time, so that nothing is held thrice.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._parameters.items():
            held = weight.clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(held)
