"""When the slots of a network halt, and what of its halting pair is learned: one declaration a network, read by all that halt."""

from dataclasses import dataclass
from typing import Literal

Rule = Literal["q_halt > 0", "q_halt > q_continue", "never"]


@dataclass(frozen=True)
class Halting:
    """How the slots of a network halt before `halt_max_steps`."""

    rule: Rule = "q_halt > 0"
    """What a row says that wants to halt."""
    stops_training: bool = True
    """Whether a slot that wants to halt takes a fresh puzzle in training."""
    stops_evaluation: bool = False
    """Whether an evaluation takes each row's answer at its first halt; else after all steps (arXiv 2510.04871, section 2.4)."""
    learns_halt: bool = True
    """Whether q_halt is trained to say that the answer is right; without it the network has no halting head."""
    learns_continue: bool = False
    """Whether q_continue is trained, on what one more forward says (arXiv 2506.21734, section 2: Q-learning)."""


def act(*, compares: bool, learns_continue: bool | None = None) -> Halting:
    """Adaptive computation time by q_halt alone, or compared with q_continue, which is then learned unless said otherwise."""
    learns = compares if learns_continue is None else learns_continue
    return Halting("q_halt > q_continue" if compares else "q_halt > 0", learns_continue=learns)


LOCKSTEP = Halting("never", stops_training=False, learns_halt=False)
"""No halting head: every slot goes to `halt_max_steps`."""
