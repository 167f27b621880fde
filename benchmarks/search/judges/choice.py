"""Every judge by its name: a family and an instance, `lcbench_7593`, `late_0`. Imports what a judge needs when it is asked for."""

from functools import cache

from benchmarks.search.judges.families import FAMILIES
from benchmarks.search.judges.grids import recorded
from benchmarks.search.judges.hartmann import hartmann
from benchmarks.search.judges.judge import Judge
from benchmarks.search.judges.scan import scan
from benchmarks.search.judges.trained import trained


@cache
def judge_of(name: str) -> Judge:
    """The judge; ValueError for a name that is none."""
    family, _, instance = name.partition("_")
    if family in FAMILIES and instance.isdecimal():
        return FAMILIES[family](int(instance))
    match family:
        case "lcbench":
            from benchmarks.search.judges.lcbench import lcbench

            return lcbench(instance)
        case "hartmann":
            count, _, level = instance.partition("_")
            return hartmann(int(count), level)
        case "grids":
            return recorded(instance)
        case "scan":
            return scan(instance)
        case "trm":
            return trained(instance)
        case _:
            raise ValueError(f"{name} is no judge; split.yaml lists those that there are")
