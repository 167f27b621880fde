"""How busy are many slots, how soon is a sweep over, and what does that cost? Whole sweeps side by side in simulated time.

`python -m benchmarks.search.slots late crowded --out benchmarks/results/search_slots.jsonl`

Landscapes without end (`landscapes.py`); each leg takes as long as its FLOPs at its run's own speed (`--slowness`: standard
deviation of the logarithm). By rules 4 (before) and by those of now, on the same seeds, both confirmed as sweeps are that do not
say how. A row a kind, rules and slots, means over seeds with 95 % bootstrap intervals:

- `busy`: share of the slots' time in which a leg runs, from the first leg to the sweep's end, confirmations included;
- `makespan`: that time, in the time that one trial of full length takes at speed 1; `search`: until the search's last leg ended;
- `spent`: training compute in trials of full length, what is cut at the end counted in part;
- `points`: expected accuracy lost by the winner; `less_one_slot`, where one slot is asked for too: that less
  the same sweep's on one slot.
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.rows import emit, parser
from benchmarks.search.course import Course
from benchmarks.search.figures import interval
from benchmarks.search.landscapes import FLOPS_PER_SECOND, Landscape
from benchmarks.search.replay import Remembered, replay
from benchmarks.search.widening import RESTART, WIDEST, FreelyWideningCourse, WideningCourse
from trm.search.findings.confirmed import winner
from trm.search.journal.events import LegEnded, LegStarted
from trm.search.space.defaults import CONFIRMED
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace

BEFORE = 4
CONFIRM = CONFIRMED.model_dump(mode="json", exclude_unset=True)
FIGURES = ("busy", "makespan", "search", "spent", "points")


def space_of(landscape: Landscape, trials: int, sampler: str, confirm: dict[str, Any]) -> SearchSpace:
    """The landscape's space for so many trials."""
    values = landscape.space.model_dump(mode="json", exclude_unset=True)
    budget = {"per_trial": landscape.space.budget.per_trial, "trials": trials}
    return SearchSpace.model_validate({**values, "budget": budget, "sampler": {"type": sampler}, "confirm": confirm})


def figures(
    landscape: Landscape, space: SearchSpace, seed: int, slots: int, rules: int, kind: type[Course] = Course
) -> dict[str, float]:
    """One sweep."""
    history = replay(space, landscape, seed, slots=slots, rules=rules, kind=kind)  # type: ignore[arg-type]
    assert history.search is not None
    state, over = history.search.state, history.events[-1].at
    ended = (event for event in history.events if isinstance(event, LegEnded) and event.status != "yielded")
    ends = {(event.trial, event.rung): event.at for event in ended}
    legs = [event for event in history.events if isinstance(event, LegStarted)]
    used = sum(ends.get((leg.trial, leg.rung), over) - leg.at for leg in legs)
    if isinstance(history.course, FreelyWideningCourse):
        used = history.course.used_seconds
    whole = landscape.space.budget.per_trial
    cut = sum((over - leg.at) * FLOPS_PER_SECOND for leg in legs if (leg.trial, leg.rung) not in ends and leg.attempt == 0)
    unit, begun, best = whole / FLOPS_PER_SECOND, legs[0].at, winner(state)
    assert best is not None
    return {
        "busy": used / slots / (over - begun),
        "makespan": (over - begun) / unit,
        "search": (max(ends[trial.number, rung] for trial in state.searched for rung in trial.results) - begun) / unit,
        "spent": (state.spending.train_flops + cut) / whole,
        "points": 100 * landscape.regret(landscape.config(best.trial.params)),
    }


def widening_course(restart_seconds: float) -> type[Course]:
    """Sweeps by the product's rule, where stopping a leg and starting it again takes so long."""
    return type("_WideningCourse", (WideningCourse,), {"restart_seconds": restart_seconds})


def rounded(values: Sequence[float]) -> list[float]:
    """A mean with its interval."""
    return [float(f"{one:.4g}") for one in interval(values)]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("kinds", nargs="+", choices=("late", "crowded"))
    made.add_argument("--seeds", type=int, default=50)
    made.add_argument("--trials", type=int, default=128)
    made.add_argument("--slots", type=int, nargs="+", default=[1, 8, 32, 100])
    made.add_argument("--slowness", type=float, default=0.3)
    made.add_argument("--sampler", default="random", help="random proposals show the scheduler alone (default: %(default)s)")
    made.add_argument("--ahead", type=int, help="confirm.ahead of the rules of now (default: as it is)")
    made.add_argument("--rules", type=int, nargs="+", default=[BEFORE, RULES])
    made.add_argument("--widening", action="store_true", help="legs may have more workers where slots idle (widening.py)")
    made.add_argument(
        "--restart", type=float, default=RESTART, help="what that takes, of a whole trial's time (default: %(default)s)"
    )
    made.add_argument("--bound", action="store_true", help="as if legs could take and give slots while they run, at no cost")
    arguments = made.parse_args()
    cases = [(rules, slots) for slots in arguments.slots for rules in arguments.rules]
    course = FreelyWideningCourse if arguments.bound else Course
    remembered: Remembered = {}
    for kind in arguments.kinds:
        found: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in cases}
        for seed in range(arguments.seeds):
            for rules, slots in cases:
                landscape = Landscape(seed % 20, kind, arguments.slowness, remembered=remembered)
                confirm = CONFIRM if rules == BEFORE or arguments.ahead is None else {**CONFIRM, "ahead": arguments.ahead}
                space = space_of(landscape, arguments.trials, arguments.sampler, confirm)
                if arguments.widening:
                    course = widening_course(arguments.restart * space.budget.per_trial / FLOPS_PER_SECOND)
                found[rules, slots].append(figures(landscape, space, seed, slots, rules, course))
            print(f"{kind}: seed {seed}", file=sys.stderr, flush=True)
        about = {"trials": arguments.trials, "sampler": arguments.sampler, "slowness": arguments.slowness, "seeds": arguments.seeds}
        for (rules, slots), sweeps in found.items():
            row = {name: rounded([one[name] for one in sweeps]) for name in FIGURES}
            if (alone := found.get((rules, 1))) is not None:
                row["less_one_slot"] = rounded([one["points"] - other["points"] for one, other in zip(sweeps, alone, strict=True)])
            ahead = {} if arguments.ahead is None or rules == BEFORE else {"ahead": arguments.ahead}
            wide = {"widest": WIDEST} if arguments.widening or arguments.bound else {}
            wide |= {"restart": arguments.restart} if arguments.widening else {}
            case = {"landscapes": kind, "rules": rules, "slots": slots, **ahead, **wide}
            emit({**case, **row, **about}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
