"""Whether an answer keeps the rules of its puzzle, by our own solvers: the network is not asked."""

from dataclasses import dataclass

from trm.data.format.manifest import Manifest
from trm.tasks.choice import task_named
from trm.tasks.play import Cells, Posed

MOST_RULES = 12
"""Broken rules that are told."""


@dataclass(frozen=True)
class Verdict:
    """What our rules say of an answer."""

    is_valid: bool | None
    """None: no rule of the puzzle is known."""
    broken: tuple[str, ...] = ()
    """The rules that it breaks, a sentence each."""


def verdict_of(posed: Posed, answer: Cells, manifest: Manifest) -> Verdict:
    """The verdict on an answer to a posed puzzle."""
    broken = task_named(manifest.task).play.broken(posed, answer, manifest)
    if broken is None:
        return Verdict(None)
    told = tuple(broken[:MOST_RULES])
    rest = (f"and {len(broken) - MOST_RULES} more",) if len(broken) > MOST_RULES else ()
    return Verdict(not broken, told + rest)
