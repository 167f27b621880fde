"""A recursion as data: which latents a network carries, which calls update them, how often, how many are differentiated.

The tensors (`trm.models.recursive.network`), the CPU's kernels (`trm.kernels.recursion`), the arithmetic of cost
(`trm.models.recursive.cost`) and the names of depth read the same value, so that a new recursion is a new value and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

QUESTION = "question"
"""Name of the embedded puzzle among the sources of a call."""
BLOCKS = "blocks"
"""Name of the one network of a recursion that has only one."""
LOW, HIGH = "low", "high"
"""Names of the networks of latents and of the answer, where each has its own."""
Gradient = Literal["last_call", "one_step", "last_cycle", "all"] | int
"""Which calls are differentiated: the last; the last update of each latent; those of the last cycle, of so many, or all."""


@dataclass(frozen=True)
class Latent:
    """A tensor (batch, P + S, D) that a slot carries from one supervision step to the next."""

    name: str
    """Its name in carries and checkpoints."""
    initial: str
    """Name of the fixed random vector (D,) that it starts from."""


@dataclass(frozen=True)
class Call:
    """One application of a network: the latent `target` becomes network(sum of `sources`)."""

    target: str
    sources: tuple[str, ...]
    """Latents, or `QUESTION`; they are added from left to right."""
    network: str = BLOCKS
    """Which stack of blocks is applied."""


@dataclass(frozen=True)
class Step:
    """A call as it is executed, with what follows from the calls around it."""

    call: Call
    shares_sum: bool
    """The sum of all sources but the last is the one that an earlier step left: nothing in it has changed since."""
    trained_sources: frozenset[str]
    """Sources that a gradient flows on to: the question, and latents computed by a differentiated call before."""


@dataclass(frozen=True)
class Recursion:
    """What one supervision step computes: `cycle` is repeated `H_cycles` times, the last calls with gradient."""

    latents: tuple[Latent, ...]
    """The first is the answer, which the heads read."""
    cycle: tuple[Call, ...]
    """Calls of one H cycle, in order."""
    H_cycles: int
    differentiated_calls: int
    """How many of all calls, from the end, are differentiated; at least 1."""
    answers_every_cycle: bool = False
    """Whether the answer is read after each H cycle, and no gradient goes from one cycle to the one before; else at the end."""

    def __post_init__(self) -> None:
        names = [latent.name for latent in self.latents]
        assert len({*names, QUESTION}) == len(names) + 1, f"latents have names of their own, got {names}"
        for call in self.cycle:
            assert call.target in names, f"the target of a call is one of {names}, got {call}"
            assert {*call.sources} <= {*names, QUESTION}, f"sources of a call are among {names} and {QUESTION}, got {call}"
            assert len({*call.sources}) == len(call.sources) > 0, f"a call has sources, each once, got {call}"
        assert not self.answers_every_cycle or self.differentiated_calls == self.depth, "a cycle that is read has a gradient"
        assert 1 <= self.differentiated_calls <= self.depth, f"of {self.depth} calls {self.differentiated_calls} have a gradient"

    @property
    def answer(self) -> str:
        """Name of the latent that the heads read."""
        return self.latents[0].name

    @property
    def answers(self) -> int:
        """How often the answer is read in a supervision step."""
        return self.H_cycles if self.answers_every_cycle else 1

    @property
    def inner_calls(self) -> int:
        """Calls of a cycle before its last, which updates the answer (L_cycles); 0 for a network that has no inner cycle."""
        return len(self.cycle) - 1

    @property
    def depth(self) -> int:
        """Network calls of one supervision step: H_cycles (L_cycles + 1) for the published networks."""
        return self.H_cycles * len(self.cycle)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the stacks of blocks that are called, each once, in the order of their first call."""
        return tuple(dict.fromkeys(call.network for call in self.cycle))

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls of a supervision step, in order."""
        return self.cycle * self.H_cycles

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All calls of a supervision step as they are executed: first `plain_calls` without gradient, then the differentiated."""
        return _steps(self.calls, self.plain_calls)

    @property
    def plain_calls(self) -> int:
        """How many calls, from the start, are made without gradient."""
        return self.depth - self.differentiated_calls

    @cached_property
    def without_gradient(self) -> frozenset[str]:
        """Networks, and the question, that no differentiated call brings a gradient to."""
        trained = self.steps[self.plain_calls :]
        reached = {step.call.network for step in trained} | {name for step in trained for name in step.trained_sources}
        return frozenset({QUESTION, *self.networks}) - reached

    def with_networks(self, latent: str, answer: str) -> "Recursion":
        """Its calls by two networks: the last of a cycle, which updates the answer, by one, the others by the other."""
        *inner, last = self.cycle
        cycle = (*(replace(call, network=latent) for call in inner), replace(last, network=answer))
        return replace(self, cycle=cycle)

    def differentiating(self, gradient: Gradient) -> "Recursion":
        """Its calls, of which those that `gradient` says are differentiated."""
        match gradient:
            case "last_call":
                calls = 1
            case "one_step":
                calls = len({call.target for call in self.cycle})
                last = {call.target for call in self.cycle[-calls:]}
                assert len(last) == calls, f"the last {calls} calls update each latent that is updated, got {last}"
            case "last_cycle":
                calls = len(self.cycle)
            case "all":
                calls = self.depth
            case cycles:
                calls = min(cycles, self.H_cycles) * len(self.cycle)
        return replace(self, differentiated_calls=calls)

    def answering_every_cycle(self) -> "Recursion":
        """Its calls, the answer read after each H cycle, and each cycle with a gradient of its own."""
        return replace(self, differentiated_calls=self.depth, answers_every_cycle=True)

    @property
    def single_cycle(self) -> "Recursion":
        """One of the cycles that are read, by itself."""
        return replace(self, H_cycles=1, differentiated_calls=len(self.cycle), answers_every_cycle=False)


def _steps(calls: Sequence[Call], plain_calls: int) -> tuple[Step, ...]:
    made: list[Step] = []
    left: tuple[str, ...] | None = None  # whose sum the last longer addition left behind
    trained: set[str] = set()
    for number, call in enumerate(calls):
        if number == plain_calls:
            left, trained = None, {QUESTION}  # a sum made without gradient is none that has one
        leading = call.sources[:-1]
        made.append(Step(call, len(leading) > 1 and leading == left, frozenset(trained.intersection(call.sources))))
        if len(leading) > 1:
            left = leading
        if left is not None and call.target in left:
            left = None
        if number >= plain_calls:
            trained.add(call.target)
    return tuple(made)


def one_call(network: str = BLOCKS) -> Recursion:
    """No recursion within a supervision step: one call on the one latent and the question."""
    return Recursion((Latent("z", "H_init"),), (Call("z", (QUESTION, "z"), network),), H_cycles=1, differentiated_calls=1)


def trm(H_cycles: int, L_cycles: int) -> Recursion:
    """The Tiny Recursive Model (arXiv 2510.04871, Figure 3): an answer z_H and a latent z_L; the last H cycle is differentiated."""
    latent = Call("z_L", ("z_H", QUESTION, "z_L"))
    cycle = (latent,) * L_cycles + (Call("z_H", ("z_H", "z_L")),)
    return Recursion((Latent("z_H", "H_init"), Latent("z_L", "L_init")), cycle, H_cycles, len(cycle))


def single_z(H_cycles: int, L_cycles: int) -> Recursion:
    """One latent that is the answer too (arXiv 2510.04871, section 5): z = f(z + question) L_cycles times, then z = f(z)."""
    cycle = (Call("z", (QUESTION, "z")),) * L_cycles + (Call("z", ("z",)),)
    return Recursion((Latent("z", "L_init"),), cycle, H_cycles, len(cycle))


def several_latents(count: int, H_cycles: int, L_cycles: int) -> Recursion:
    """`count` latents that are updated in turn, each from the sum of all (six of them: the published `hier6`).

    One that no turn comes to keeps its start and still counts in the sum. `several_latents(1, ...)` computes what `trm` does.
    """
    names = tuple(f"z_L{i}" for i in range(1, count + 1))
    updates = tuple(Call(names[i % count], ("z_H", QUESTION, *names)) for i in range(L_cycles))
    cycle = (*updates, Call("z_H", ("z_H", *names)))
    latents = (Latent("z_H", "H_init"), *(Latent(f"z_L{i}", f"L{i}_init") for i in range(1, count + 1)))
    return Recursion(latents, cycle, H_cycles, len(cycle))


def hrm(H_cycles: int, L_cycles: int) -> Recursion:
    """The Hierarchical Reasoning Model (arXiv 2506.21734, section 2): the last update of each latent is differentiated."""
    two_networks = trm(H_cycles, L_cycles).with_networks(LOW, HIGH)
    return two_networks.differentiating("one_step")
