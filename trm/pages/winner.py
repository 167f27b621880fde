"""The puzzles of a sweep's winner: some it solved and some it did not, after every step, and how fresh seeds did on them."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trm.console.program import job
from trm.errors import ConfigError
from trm.evaluation.kept_answers import FIRST_LETTER
from trm.evaluation.puzzle_scores import read_puzzles
from trm.files.json_files import read_json
from trm.pages.page import Section
from trm.pages.puzzle_facts import cell_facts
from trm.pages.puzzles import Answered, Fact, ShownPuzzle, puzzles_section
from trm.tasks.choice import task_named
from trm.tasks.legend import Legend

WINNER_PUZZLES = "puzzles.json"
"""Of `best/`."""
MOST_BYTES = 1 << 24
MOST_PUZZLES = 1000
TITLE = "Puzzles of the winner"


def winner_sections(
    folder: Path, runs: Mapping[int, Sequence[Path]], metric: str, typed: Callable[[str], str] = job
) -> list[Section]:
    """What is known of the winner's puzzles; says what is missing, and the command that brings it.

    `runs`: of each confirmed trial the files of scores a puzzle that its fresh runs left; `metric`: which score is told;
    `typed`: how a job is typed here.
    """
    path = folder / "best" / WINNER_PUZZLES
    weights = shlex.quote(str(folder / "best"))
    brings = f"{typed('evaluate.py')} {weights} --split validation --steps all --folder DIR, and then {typed('view.py')} DIR"
    if not (folder / "best").is_dir():
        return []
    try:
        values: dict[str, Any] = read_json(path, dict, error=ConfigError, remedy="score it again", most_bytes=MOST_BYTES)
        return [_section(values, _seeds(runs, metric))]
    except FileNotFoundError:
        told = "The winner's puzzles were not kept: this sweep ended with an earlier version, or before its last score."
    except (ConfigError, KeyError, TypeError, ValueError, IndexError) as error:
        told = f"{path} is not what a sweep writes ({error!s:.200})."
    return [Section("values", TITLE, {"lines": [told, f"{brings} shows them."]})]


def cells_of(text: str, count: int, tokens: int) -> np.ndarray:
    """The tokens of a text of cells; ValueError where they are none of so many, or not as many."""
    cells = np.array([ord(letter) - FIRST_LETTER for letter in text], dtype=np.int64)
    if len(cells) != count or (count and not 0 <= cells.min() <= cells.max() < tokens):
        raise ValueError(f"a grid of {len(cells)} cells, not {count} of {tokens} tokens")
    return cells.astype(np.uint8)


def _section(values: Mapping[str, Any], seeds: Mapping[int, Mapping[str, Fact]]) -> Section:
    vocabulary, (height, width) = tuple(map(str, values["vocabulary"])), values["grid"]
    grid = int(height), int(width)
    legend = task_named(str(values["task"])).legend(grid, vocabulary)
    puzzles = [_puzzle(one, grid, legend, seeds.get(int(one["puzzle"]), {})) for one in values["puzzles"][:MOST_PUZZLES]]
    counts = {kind: int(values[kind]) for kind in ("solved", "failed")}
    shown = [sum(bool(one.answers[0] and one.answers[0].solved) == (kind == "solved") for one in puzzles) for kind in counts]
    words = ", ".join(f"{count:,} of {counts[kind]:,} {kind}" for kind, count in zip(counts, shown, strict=True))
    chosen = f"{len(puzzles)} puzzles of {values['split']} of {values['data']}, by chance among those solved and failed ({words})."
    return puzzles_section(TITLE, legend, grid, puzzles, chosen=chosen, sides=[f"run {int(values['run'])}"], key="winner")


def _puzzle(one: Mapping[str, Any], grid: tuple[int, int], legend: Legend, facts: Mapping[str, Fact]) -> ShownPuzzle:
    count, tokens = grid[0] * grid[1], len(legend.tokens)
    question, right = (cells_of(one[name], count, tokens) for name in ("question", "right"))
    steps = [cells_of(text, count, tokens) for text in one["steps"]]
    halting = [float(share) for share in one["halting"]]
    if not steps or len(halting) != len(steps):
        raise ValueError(f"{len(steps)} answers with {len(halting)} halting probabilities")
    pair = "" if one.get("pair") is None else f" pair {int(one['pair'])}"
    name = f"{one['name']}{pair}" if one.get("name") else f"row {int(one['row'])}"
    answered = Answered(steps, halting, bool(one["is_exact"]), len(steps) if len(steps) == 1 else None)
    shown_before = [
        (cells_of(asked, count, tokens), cells_of(answer, count, tokens)) for asked, answer in one.get("demonstrations", [])
    ]
    all_facts = cell_facts(question, right, grid, legend) | dict(facts)
    return ShownPuzzle(name, question, right, [answered], all_facts, demonstrations=shown_before)


def _seeds(runs: Mapping[int, Sequence[Path]], metric: str) -> dict[int, dict[str, Fact]]:
    """Of each puzzle, by its number, what the fresh seeds of each confirmed trial scored on it."""
    found: dict[int, dict[str, Fact]] = {}
    for trial, files in runs.items():
        scores, numbers = read_puzzles(files, metric), read_puzzles(files[:1], "puzzle")
        if scores is None or numbers is None:
            continue
        for number, mean in zip(numbers[0].astype(int).tolist(), scores.mean(0).tolist(), strict=True):
            found.setdefault(number, {})[f"trial {trial} (mean of {len(scores)} seeds)"] = round(mean, 3)
    return found
