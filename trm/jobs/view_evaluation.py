"""The page of an evaluation, or of two of the same puzzles, from their folders."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trm.console.long_work import shown as working
from trm.console.streams import say
from trm.errors import ConfigError
from trm.jobs.compare import AGAIN, ONE_TRAINING, Side, compared, read_side, require_same_puzzles
from trm.jobs.evaluation.folder import CLAIMS_TABLE, NOT_A_METRIC
from trm.jobs.view_answers import puzzle_sections
from trm.pages.evaluation import about, curves_together, details_section, evaluation_sections
from trm.pages.page import Page, Section
from trm.stats.paired import Paired
from trm.tasks.metrics import direction, shown

MOST_CLAIMS_BYTES = 1 << 20


def page_of(folder: Path, data: str | None = None) -> Page:
    """The page of the evaluation in a folder; `data`: where its data set lies, if not where it says.

    Raises InputError for a folder that is damaged, or of another version.
    """
    side = read_side(str(folder))
    with working(f"reading {folder}", say) as report:
        puzzles = puzzle_sections([side], data, report)
    first, *rest = _as_written(side, lambda: evaluation_sections(side.report, _claims(folder)))
    details = _as_written(side, lambda: [details_section(side.report)])
    return Page(f"Evaluation {folder.resolve().name}", "evaluation", [first, *puzzles, *rest, *details], about=about(side.report))


def comparison_page(first: Path, second: Path, data: str | None = None) -> Page:
    """The page of two evaluations of the same puzzles; raises InputError for others, as `compare` does."""
    sides = read_side(str(first)), read_side(str(second))
    require_same_puzzles(*sides, what="a comparison")
    names = [name for name in sides[0].puzzles if name in sides[1].puzzles and name not in NOT_A_METRIC]
    with working(f"reading {first} and {second}", say) as report:
        puzzles = puzzle_sections(sides, data, report)
    rows = [_row(name, sides, compared(name, *sides)) for name in names]
    lines = [f"A: {first}", f"B: {second}", f"{ONE_TRAINING[:1].upper()}{ONE_TRAINING[1:]}."]
    sections = [Section("values", "A against B, puzzle by puzzle", {"rows": rows, "lines": lines}), *puzzles]
    curves = {letter: side.report["curve"] for letter, side in zip("AB", sides, strict=True) if side.report.get("curve")}
    sections += _as_written(sides[0], lambda: [curves_together(curves)]) if curves else []
    for letter, side in zip("AB", sides, strict=True):
        sections += [_retitled(one, letter) for one in _as_written(side, partial(_own, side))]
    return Page(f"{first.resolve().name} against {second.resolve().name}", "comparison", sections, about=about(sides[0].report))


def _own(side: Side) -> list[Section]:
    return [evaluation_sections(side.report)[0], details_section(side.report)]


def _retitled(section: Section, letter: str) -> Section:
    return Section(section.name, f"{letter}: {section.title}", section.data, section.needs_charts)


def _as_written(side: Side, make: Callable[[], list[Section]]) -> list[Section]:
    """Sections of a report; ConfigError where it is not what this version writes."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigError(
            f"the report of an evaluation must be as this version writes it: {side.folder} breaks at {error!r:.200}", remedy=AGAIN
        ) from None


def _row(name: str, sides: tuple[Side, Side], one: Paired) -> dict[str, Any]:
    """A metric of both, and what the difference supports."""
    values = [shown(name, float(np.average(side.puzzles[name], weights=side.weights(name)))) for side in sides]
    low, high = (shown(name, bound) for bound in one.interval_95)
    better = ""
    if one.is_supported:
        better = "A" if (one.difference > 0) == (direction(name.removesuffix("_halted")) != "min") else "B"
    return {
        "metric": name,
        "A": values[0],
        "B": values[1],
        "A - B (95 %)": f"{shown(name, one.difference)} ({low} to {high})",
        "A higher": one.higher,
        "B higher": one.lower,
        "sign test p": float(f"{one.sign_test_p:.2g}"),
        "better": better or "not told apart",
    }


def _claims(folder: Path) -> Sequence[Mapping[str, str]]:
    """Rows of the table of claims, where there is one."""
    path = folder / CLAIMS_TABLE
    if not path.is_file() or path.stat().st_size > MOST_CLAIMS_BYTES:
        return []
    return [{str(key): str(value) for key, value in row.items()} for row in csv.DictReader(io.StringIO(path.read_text()))]
