"""Which judges are for tuning, and which are kept: looked at once, at the end. `split.yaml` was written before any tool ran.

`python -m benchmarks.search.judges.split lcbench_1 lcbench_2 ...` draws a family's split, by the rule that it was made by.
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

SPLIT = Path(__file__).with_name("split.yaml")
SEED = 20261130
Part = Literal["tuning", "kept"]


def judges_in(part: Part) -> list[str]:
    """Names of the judges of a part."""
    return [name for family in _split()[part].values() for name in family]


@cache
def _split() -> dict[Part, dict[str, list[str]]]:
    found: dict[Part, dict[str, list[str]]] = yaml.safe_load(SPLIT.read_text())
    return found


def is_kept(name: str) -> bool:
    """Whether a judge is looked at once, at the end."""
    return name in judges_in("kept")


def drawn_split(names: Sequence[str], looked_at: Sequence[str] = ()) -> dict[Part, list[str]]:
    """A third for tuning, rounded up, those first that somebody has looked at before; the others are kept."""
    family = names[0].partition("_")[0]
    order = np.random.default_rng([SEED, *family.encode()]).permutation(len(names))
    fresh = [names[at] for at in order if names[at] not in looked_at]
    mixed = [*looked_at, *fresh]
    share = max(len(looked_at), -(-len(names) // 3))
    return {"tuning": sorted(mixed[:share], key=names.index), "kept": sorted(mixed[share:], key=names.index)}


if __name__ == "__main__":
    for part, names in drawn_split(sys.argv[1:]).items():
        print(f"{part}: [{', '.join(names)}]")
