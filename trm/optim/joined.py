"""Several optimizers as one, each of parameters of its own."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from trm.optim.optimizer import Group, Numbers, Optimizer


class Joined:
    """Optimizers side by side, none of them too: the update of a network of which nothing is trained."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = tuple(optimizers)
        self.groups = tuple(group for one in optimizers for group in one.groups)
        self._of = {group.name: one for one in optimizers for group in one.groups}
        assert len(self._of) == len(self.groups), "groups of joined optimizers have names of their own"

    @property
    def is_recordable(self) -> bool:
        """Whether all of them are."""
        return all(one.is_recordable for one in self.optimizers)

    def numbers(self, group: Group, step: int, lr: float) -> dict[str, float]:
        """What the group's optimizer takes."""
        return self._of[group.name].numbers(group, step, lr)

    def apply(self, numbers: Mapping[str, Numbers]) -> None:
        """One update by each."""
        for one in self.optimizers:
            one.apply(numbers)

    def count(self) -> None:
        """Each counts."""
        for one in self.optimizers:
            one.count()

    def saved(self) -> dict[str, Tensor]:
        """The state of all."""
        return {name: value for one in self.optimizers for name, value in one.saved().items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Each takes what is of its parameters."""
        for one in self.optimizers:
            one.restore(saved)
