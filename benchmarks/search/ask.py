"""What does it take to choose the next trial, after 10 to 10,000 trials, with 8 knobs? Rows: milliseconds of one core an ask.

An ask is everything: the view of the history, the sampler's draw, the resolved configuration and its cost. A study shows TPE
at most 2,000 trials and a Gaussian process 250 (`most_shown` in `trm/search/samplers`), so that an ask does not grow for ever.
"""

import random
import sys
import time
from collections.abc import Sequence

from benchmarks.rows import emit, parser, spread
from trm.config.networks import DataShape
from trm.models.cost import run_cost
from trm.search.asking.ask import Asker
from trm.search.journal.events import Asked, LegEnded
from trm.search.journal.trial import Ended, Trial
from trm.search.objective import measures
from trm.search.order import Order
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.enumeration import random_params
from trm.search.space.space import SearchSpace

SHAPE = DataShape(seq_len=81, vocab_size=11, num_puzzle_identifiers=1)
ASKS = 25
COUNTS = {
    "random": (1000, 10_000),
    "surrogate": (10, 1000, 10_000),
    "tpe": (100, 1000, 2300, 10_000),
    "gp": (100, 1000),
    "nsga2": (1000, 10_000),
}
WEIGHED_COUNTS = {"tpe": (100, 1000, 2300, 10_000), "nsga2": (1000, 10_000), "nsga3": (1000, 10_000)}
"""With two objectives."""


def space(sampler: str, against: Sequence[str] = ()) -> SearchSpace:
    """Eight knobs, conditional ones among them."""
    return SearchSpace.model_validate(
        {
            "name": "ask",
            "data": {"recipe": "datasets/sudoku9x9.yaml"},
            "search": {
                "model.H_cycles": {"type": "int", "low": 1, "high": 3},
                "model.L_cycles": {"type": "int", "low": 1, "high": 6},
                "model.hidden_size": {"type": "choice", "values": [32, 64, 96, 128]},
                "model.mlp_t": {"type": "choice", "values": [True, False]},
                "model.num_heads": {"type": "choice", "values": [2, 4, 8], "when": {"model.mlp_t": False}},
                "model.halt_exploration_prob": {"type": "float", "low": 0.0, "high": 0.3},
                "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
                "optim.weight_decay": {"type": "float", "low": 1e-2, "high": 1.0, "log": True},
            },
            "budget": {"trials": 100_000, "per_trial": 1e16},
            "sampler": {"type": sampler},
            "objective": {"against": list(against)},
        }
    )


def history(resolver: Resolver, count: int) -> list[Trial]:
    """Trials as ASHA leaves them: one in nine finished, two in nine stopped at the second rung, the others at the first."""
    draw, trials = random.Random(0), []
    while len(trials) < count:
        one = resolver.resolve(random_params(resolver.space, draw))
        if not isinstance(one, Candidate):
            continue
        number = len(trials)
        asked = Asked(
            trial=number,
            params=one.params,
            source="sampler",
            digest=one.digest,
            seed=0,
            max_steps=one.max_steps,
            step_flops=one.step_flops,
            params_count=one.params_count,
            at=0.0,
        )
        reached = 3 if number % 9 == 0 else 2 if number % 9 < 3 else 1
        results = {rung: _result(number, rung, draw.random()) for rung in range(reached)}
        others = measures(resolver.space.objective, {"params": float(one.params_count)})
        scores = {rung: Order("max").score(result, asked.digest, others) for rung, result in results.items()}
        status = "finished" if reached == 3 else "stopped"
        trials.append(Trial(asked, phase=Ended(status), results=results, scores=scores))
    return trials


def _result(number: int, rung: int, objective: float) -> LegEnded:
    return LegEnded(trial=number, rung=rung, attempt=0, status="completed", objective=objective, loss=1 - objective, at=0.0)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--samplers", nargs="+", help="those alone (default: all)")
    arguments = made.parse_args()
    cases = [(sampler, (), counts) for sampler, counts in COUNTS.items()]
    cases += [(sampler, ("params",), counts) for sampler, counts in WEIGHED_COUNTS.items()]
    for sampler, against, counts in cases:
        if arguments.samplers and sampler not in arguments.samplers:
            continue
        resolver = Resolver(space(sampler, against), lambda config: run_cost(config, SHAPE))
        everything = history(resolver, max(counts))
        for count in counts:
            trials, asker = everything[:count], Asker(resolver)
            copies = {trial.asked.digest: 1 for trial in trials}
            asker.choose(trials, copies, count)  # the first ask of a driver builds the view of every trial
            milliseconds = []
            for number in range(count, count + ASKS):
                start = time.process_time()
                assert asker.choose(trials, copies, number) is not None
                milliseconds.append(1000 * (time.process_time() - start))
            row = {"figure": "ask_milliseconds", "sampler": sampler, "objectives": 1 + len(against), "trials": count}
            emit(row | spread(milliseconds), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
