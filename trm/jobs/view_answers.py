"""Puzzles of one or two evaluations for a page: which are shown, what was asked, what is right, and what was answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trm.config.data import DataConfig
from trm.console.long_work import Report, silent
from trm.data.batches.some_rows import some_rows
from trm.data.format import shards, storage
from trm.data.format.manifest import Manifest, SplitName, read_manifest
from trm.errors import ConfigError, DatasetError
from trm.evaluation.some_answers import AnswersFile
from trm.files.small_parquet import is_small
from trm.jobs.compare import Side
from trm.jobs.evaluation.folder import ANSWERS, PAIRS
from trm.pages.chosen import chosen_puzzles, most_shown
from trm.pages.page import Section
from trm.pages.puzzle_facts import puzzle_facts, row_names
from trm.pages.puzzles import Answered, ShownPuzzle, puzzles_section
from trm.tasks.choice import task_named
from trm.tasks.places import data_beside
from trm.tasks.play import Posed
from trm.tasks.task import Task
from trm.tasks.voted import Votes

ATTEMPTS = 2
"""Answers that solve a test pair of ARC."""
VOTES_GRIDS, DEMONSTRATION_GRIDS = 7, 8
"""Grids of a puzzle that a page draws beside its answers, about."""
AGAIN = "evaluate again with --steps all --folder DIR to see every step"
UNSEEN, FAILED, SOLVED = -1, 0, 1
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Recorded:
    """An evaluation with its answers."""

    side: Side
    answers: AnswersFile
    states: np.ndarray
    """Of each row of the split: SOLVED, FAILED or UNSEEN."""
    steps: int
    """After how many different steps there are answers."""


def puzzle_sections(
    sides: Sequence[Side],
    data: str | None,
    report: Report = silent,
    *,
    titles: Sequence[str] | None = None,
    told: Sequence[str] = (),
) -> list[Section]:
    """The section that browses puzzles of the evaluations; one that says what is missing, where they cannot be drawn.

    `data`: where their data set lies, if not where they say; `titles`: whose answers they are; `told`: more to say of them.
    """
    missing = [side.folder for side in sides if not (Path(side.folder) / ANSWERS).is_file()]
    if missing:
        told = f"{missing[0]} has no {ANSWERS}, so that no puzzle can be drawn; {AGAIN}."
        return [Section("values", "Puzzles", {"lines": [told]})]
    place, why = data_of(sides[0], data)
    if place is None:
        return [Section("values", "Puzzles", {"lines": [why]})]
    return [_section(sides, place, report, titles or [side.folder for side in sides], told)]


def data_of(side: Side, named: str | None) -> tuple[str | None, str]:
    """Where the evaluation's data set lies, or None and why no puzzles are drawn. DatasetError for another set that was named."""
    told = side.report["data"]
    recorded = str(told["folder"])
    if named is None and not storage.is_local(recorded):
        return (
            None,
            f"The puzzles lie at {recorded}: nothing is fetched because a report says so; add --data {recorded} to see them.",
        )
    place = named or data_beside(DataConfig(folder=recorded), Path(side.folder), str(told["content_hash"])).folder
    try:
        found = read_manifest(str(place))
    except DatasetError as error:
        if named is not None:
            raise
        return None, f"The puzzles cannot be drawn ({error.problem}): name their data set by --data FOLDER."
    if found.content_hash != told["content_hash"]:
        other = f"{place} is another data set (content {found.content_hash[:12]}, not {str(told['content_hash'])[:12]})"
        if named is not None:
            raise DatasetError(f"--data names the data set of the evaluation: {other}", remedy=f"name that of {told['name']}")
        return None, f"The puzzles cannot be drawn: {other}; name their data set by --data FOLDER."
    return str(place), ""


def _section(sides: Sequence[Side], place: str, report: Report, titles: Sequence[str], more: Sequence[str]) -> Section:
    manifest = read_manifest(place)
    name: SplitName = sides[0].report["split"]
    if name not in manifest.splits:
        raise DatasetError(f"a split must be one of {', '.join(manifest.splits)}: {place} has no split {name!r}", remedy=AGAIN)
    task = task_named(manifest.task)
    recorded = [_recorded(side, manifest, name, task, report) for side in sides]
    rows = np.flatnonzero(np.all([one.states != UNSEEN for one in recorded], axis=0))
    kinds = [_kind([int(one.states[row]) for one in recorded]) for row in rows]
    grids = 2 + sum(one.steps for one in recorded) + (VOTES_GRIDS + DEMONSTRATION_GRIDS) * task.has_votes
    chosen = chosen_puzzles(kinds, len(rows), most_shown(manifest.seq_len, grids), what=f"scored puzzles of {name}")
    wanted = rows[list(chosen.places)]
    puzzles = _shown_puzzles(recorded, wanted, manifest, place, name, report)
    legend = task.legend(manifest.grid, manifest.vocabulary)
    notes = [] if max(one.steps for one in recorded) > 1 else [f"Only the last answers were recorded; {AGAIN}."]
    told = [f"{letter}: {title}" for letter, title in zip("AB", titles, strict=False)] if len(titles) > 1 else []
    return puzzles_section(
        "Puzzles", legend, manifest.grid, puzzles, chosen=chosen.words, sides=titles, notes=[*more, *told, *notes]
    )


def _kind(states: Sequence[int]) -> str:
    """What the choice deals in equal shares."""
    if len(states) == 1:
        return "solved" if states[0] == SOLVED else "failed"
    first, second = (state == SOLVED for state in states)
    if first == second:
        return "both" if first else "neither"
    return "A alone" if first else "B alone"


def _recorded(side: Side, manifest: Manifest, split: SplitName, task: Task[Any], report: Report) -> Recorded:
    path, count = Path(side.folder) / ANSWERS, manifest.splits[split].rows
    answers = AnswersFile(path, cells=manifest.seq_len, tokens=len(manifest.vocabulary))
    states, voted, steps = np.full(count, UNSEEN, dtype=np.int8), np.zeros(count, dtype=bool), set[int]()
    for group in answers.numbers(report):
        if len(group["row"]) and not 0 <= group["row"].min() <= group["row"].max() < count:
            raise DatasetError(f"answers must be to rows of the split: {path} has one to row {group['row'].max()}", remedy=AGAIN)
        voted[group["row"]] = True
        plain = (group["augmentation"] == 0) & ((group["answer"] == 0) | (not task.has_votes))
        states[group["row"][plain]] = group["is_exact"][plain]  # of a row the last answer counts, which comes last
        steps |= set(np.unique(group["step"]).tolist())
    if "votes" in side.report:
        states = _by_votes(Path(side.folder) / PAIRS, voted, states)
    return Recorded(side, answers, states, max(1, len(steps)))


def _by_votes(path: Path, voted: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Which pairs the first two of their ballots solve, from the table of pairs, which are in the order of the rows."""
    try:
        file = pq.ParquetFile(path)
        ranks = file.read(columns=["rank"]).column("rank").to_numpy() if is_small(file) else None
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ConfigError(f"{path} must be the table of pairs of an evaluation, got {error!r}", remedy=AGAIN) from None
    rows = np.flatnonzero(voted)
    if ranks is None or len(ranks) != len(rows):
        return states  # pairs without a vote are among them: who solves them is told by the row's own answer
    found = np.full(len(states), UNSEEN, dtype=np.int8)
    found[rows] = np.where((ranks >= 1) & (ranks <= ATTEMPTS), SOLVED, FAILED)
    return found


def _shown_puzzles(
    recorded: Sequence[Recorded], wanted: np.ndarray, manifest: Manifest, place: str, split: SplitName, report: Report
) -> list[ShownPuzzle]:
    """The chosen rows with all that is known of them."""
    task = task_named(manifest.task)
    legend = task.legend(manifest.grid, manifest.vocabulary)
    columns = some_rows(place, manifest, split, lambda part: np.isin(part["row"], wanted), report)
    table = shards.read_identifiers(place, manifest)
    names = row_names(columns, None if table is None else table.names)
    truths = {int(row): columns["labels"][at] for at, row in enumerate(columns["row"])}
    questions = {int(row): columns["inputs"][at] for at, row in enumerate(columns["row"])}
    answered, ballots = [], []
    for one in recorded:
        answers = one.answers.of_rows([int(row) for row in wanted], report)
        said = _answered(answers, one, task, truths)
        answered.append({row: judged(own, questions[row], manifest, task) for row, own in said.items()})
        ballots.append(_ballots(answers, truths, task) if "votes" in one.side.report else {})
    shown_before = demonstrations(place, manifest, split, columns["groups"], report) if task.has_votes else {}
    return [
        ShownPuzzle(
            name,
            columns["inputs"][at],
            columns["labels"][at],
            [own.get(int(row)) for own in answered],
            puzzle_facts(columns, at, manifest, legend),
            demonstrations=shown_before.get(int(columns["groups"][at]), ()),
            ballots=[own.get(int(row)) for own in ballots],
        )
        for at, (name, row) in enumerate(zip(names, columns["row"], strict=True))
    ]


def _answered(answers: Columns, one: Recorded, task: Task[Any], truths: Mapping[int, np.ndarray]) -> dict[int, Answered]:
    """What was answered to each row as it stands, step by step; padding where nothing is asked."""
    if not answers:
        return {}
    is_plain = (answers["augmentation"] == 0) & ((answers["answer"] == 0) | (not task.has_votes))
    halting = 1 / (1 + np.exp(-np.clip(answers["halting_logit"], -700, 700)))
    found = {}
    for row in np.unique(answers["row"][is_plain]).tolist():
        places = np.flatnonzero(is_plain & (answers["row"] == row))
        steps = [np.where(truths[row] == 0, 0, answers["cells"][place]) for place in places]
        after = int(answers["step"][places[-1]]) if len(places) == 1 else None
        found[row] = Answered(steps, halting[places].tolist(), bool(one.states[row] == SOLVED), after)
    return found


def judged(own: Answered, question: np.ndarray, manifest: Manifest, task: Task[Any]) -> Answered:
    """The answer with the rules that it breaks, where it is another than the recorded one and rules are known."""
    if own.solved or task.has_votes:
        return own
    try:
        return replace(own, breaks=task.play.broken(Posed(question), own.steps[-1], manifest))
    except Exception:  # whatever somebody's own puzzle raises at what only a network answers
        return own


def _ballots(answers: Columns, truths: Mapping[int, np.ndarray], task: Task[Any]) -> dict[int, Votes]:
    """The ballots of the last answers."""
    if not answers:
        return {}
    last = answers["step"] == answers["step"].max()
    chosen = {name: answers[name][last] for name in ("row", "augmentation", "cells")}
    halting = 1 / (1 + np.exp(-np.clip(answers["halting_logit"][last], -700, 700)))
    return task.shown_votes(chosen | {"halting_probability": halting}, truths)


def demonstrations(
    place: str, manifest: Manifest, split: SplitName, groups: np.ndarray, report: Report = silent
) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    """The training pairs of each task in `groups`, as they stand without augmentation."""
    if split == "train" or "train" not in manifest.splits:
        return {}
    wanted = np.unique(groups)
    columns = some_rows(place, manifest, "train", lambda part: np.isin(part["groups"], wanted) & _is_plain(part), report)
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for group, *pair in zip(columns["groups"].tolist(), columns["inputs"], columns["labels"], strict=True):
        found.setdefault(group, []).append((pair[0], pair[1]))
    return found


def _is_plain(part: Columns) -> np.ndarray:
    """Which rows are the first form of their group, where forms are stored."""
    if "puzzles" not in part:
        return np.ones(len(part["row"]), dtype=bool)
    _, first = np.unique(part["groups"], return_index=True)
    places = np.searchsorted(part["groups"][first], part["groups"])
    plain: np.ndarray = part["puzzles"] == part["puzzles"][first][places]
    return plain
