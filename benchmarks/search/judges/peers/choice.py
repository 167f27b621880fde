"""Every peer by its name; its module is imported when it is asked for, in the environment that its requirement file makes.

    python3.11 -m venv smac && smac/bin/pip install -r benchmarks/search/judges/peers/requirements/smac.txt
    smac/bin/python -m benchmarks.search.judges.run --tool smac --judges tuning --out smac.jsonl      # from the checkout's root

`NAME+default` is the tool with the judge's default configuration made known in its own way: evaluated first, or its prior. Settings
of all: `first`, the share of a full length that is looked at first, and `eta`, the factor between that and the next.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import partial

MODULES: Mapping[str, str] = {
    "optuna-tpe-halving": "with_optuna",
    "optuna-tpe-hyperband": "with_optuna",
    "optuna-gp-halving": "with_optuna",
    "optuna-gp-hyperband": "with_optuna",
    "ray-asha": "with_ray",
    "bohb": "with_bohb",
    "dehb": "with_dehb",
    "smac": "with_smac",
    "synetune-asha": "with_synetune",
    "synetune-asha-stopping": "with_synetune",
    "synetune-mobster": "with_synetune",
    "synetune-hypertune": "with_synetune",
    "neps-priorband": "with_neps",
}
DEFAULT = "+default"
DEAF = ("bohb", "dehb")
"""Those that cannot be told a default."""
PEERS = tuple(name + suffix for name in MODULES for suffix in ("", DEFAULT) if not (suffix and name in DEAF))


def peer_of(name: str) -> Callable[..., None]:
    """Drives the peer until its sweep is over; ValueError for a name that is none."""
    if name not in PEERS:
        raise ValueError(f"a peer is one of {', '.join(PEERS)}; got {name}")
    tool = name.removesuffix(DEFAULT)
    module = importlib.import_module(f"benchmarks.search.judges.peers.{MODULES[tool]}")
    return partial(module.TOOLS[tool], tries_default=name != tool)
