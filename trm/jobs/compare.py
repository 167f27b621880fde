"""Two evaluations compared puzzle by puzzle, from their folders alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trm.console.redaction import stored
from trm.errors import ConfigError
from trm.files.atomic import write_text_atomic
from trm.files.json_files import read_json
from trm.files.small_parquet import is_small
from trm.jobs.evaluation.folder import NOT_A_METRIC, PUZZLES, REPORT, check_report
from trm.stats.paired import Paired, paired
from trm.tasks.metrics import direction, shown, weights_of
from trm.terminal.command_line import show

AGAIN = "evaluate again with --folder DIR"
ONE_TRAINING = "one training each: this says what other puzzles would give, nothing of what another seed of the training would"


@dataclass(frozen=True)
class Side:
    """An evaluation in its folder."""

    folder: str
    report: dict[str, Any]
    puzzles: dict[str, np.ndarray]

    @property
    def keys(self) -> tuple[Any, ...]:
        """What tells its puzzles from others: the digest of the split, and names or numbers."""
        data, puzzles = self.report["data"], self.puzzles
        return data["split_sha256"], self.report["split"], tuple(puzzles.get("name", puzzles["puzzle"]).tolist())

    def weights(self, metric: str) -> np.ndarray:
        """What each puzzle weighs in a metric."""
        return weights_of(metric, self.puzzles.get("rows", np.ones(len(self.puzzles["puzzle"]))))


def run_comparison(first: str, second: str, out: str | None) -> int:
    """Compare, show a table, write the figures; the exit code. Raises ConfigError for what a person can mend."""
    if out is not None:
        check_report(Path(out))
    sides = read_side(first), read_side(second)
    require_same_puzzles(*sides, what="a comparison")
    shared = [name for name in sides[0].puzzles if name in sides[1].puzzles and name not in NOT_A_METRIC]
    names = sorted(shared, key=lambda name: name != "exact_accuracy")
    if not names:
        raise ConfigError(
            f"a comparison needs a metric that both have, {first} and {second} have none",
            remedy="evaluate both with --stop-halted or both without",
        )
    found = {name: compared(name, *sides) for name in names}
    notes = list(_notes(*sides))
    show("\n".join([*_lines(sides, found), *notes]))
    if out is not None:
        values = {name: one.figures() for name, one in found.items()}
        report = {
            "first": first,
            "second": second,
            "puzzles": len(sides[0].puzzles["puzzle"]),
            "metrics": values,
            "note": ONE_TRAINING,
            "notes": notes,
        }
        write_text_atomic(out, json.dumps(stored(report), indent=1, allow_nan=False) + "\n")
    return 0


def compared(name: str, first: Side, second: Side) -> Paired:
    """The comparison of a metric, whose puzzles weigh as it says."""
    scores = first.puzzles[name].astype(np.float64), second.puzzles[name].astype(np.float64)
    return paired(*scores, (first.weights(name), second.weights(name)))


def read_side(folder: str) -> Side:
    """The evaluation in a folder."""
    path = Path(folder)
    if not (path / REPORT).is_file() or not (path / PUZZLES).is_file():
        raise ConfigError(f"{folder} must be a folder of an evaluation, with {REPORT} and {PUZZLES}", remedy=AGAIN)
    report: dict[str, Any] = read_json(path / REPORT, dict, error=ConfigError, remedy=AGAIN)
    try:
        data = report["data"]
        texts = [data["split_sha256"], data["name"], report["split"]]
        file = pq.ParquetFile(path / PUZZLES)
        if not is_small(file):
            raise ConfigError(f"{path / PUZZLES} must be a small table, it has {file.metadata.num_rows} rows", remedy=AGAIN)
        table = file.read()
        table.column("puzzle")
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} must be an evaluation as it was written, got {error!r}", remedy=AGAIN) from None
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{path / REPORT} must name data and split, got {texts}", remedy=AGAIN)
    if strange := [name for name in table.column_names if not _is_whole(name, table.column(name))]:
        raise ConfigError(f"{path / PUZZLES} must have a value a puzzle, column {strange[0]} has others", remedy=AGAIN)
    return Side(folder, report, {name: np.array(column) for name, column in table.to_pydict().items()})


def _is_whole(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a column has what an evaluation writes: a text a name, else a number a puzzle, of one puzzle at least."""
    kind = column.type
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    is_kind = pa.types.is_string(kind) or pa.types.is_large_string(kind) if name == "name" else is_number
    return is_kind and column.null_count == 0 and len(column) > 0


def require_same_puzzles(first: Side, second: Side, *, what: str) -> None:
    """ConfigError for other data, another split, or another choice of its puzzles."""
    if first.keys[:2] != second.keys[:2]:
        reports = first.report, second.report
        told = [f"{one['split']} of {one['data']['name']} ({one['data']['split_sha256'][:12]})" for one in reports]
        raise ConfigError(
            f"{what} is of the same puzzles: {first.folder} is of {told[0]}, {second.folder} of {told[1]}",
            remedy="evaluate both on one split of one data set",
        )
    if first.keys != second.keys:
        raise ConfigError(
            f"{what} is of the same puzzles: {first.folder} has {len(first.keys[2])} of the split, {second.folder} "
            f"{len(second.keys[2])}, and not the same ones",
            remedy="give both the same evaluation.max_examples, or neither",
        )


def _lines(sides: tuple[Side, Side], found: dict[str, Paired]) -> list[str]:
    first, second = sides
    count = len(first.puzzles["puzzle"])
    lines = [
        f"{first.folder} against {second.folder}: {first.report['split']} split of {first.report['data']['name']}, {count} puzzles",
        f"  {'metric':<24}{'first':>10}{'second':>10}  difference, 95 % over puzzles          higher  lower  sign test",
    ]
    for name, one in found.items():
        values = [shown(name, float(np.average(side.puzzles[name], weights=side.weights(name)))) for side in sides]
        low, high = (shown(name, bound) for bound in one.interval_95)
        told = f"{shown(name, one.difference)} ({low} to {high})"
        lines.append(
            f"  {name:<24}{values[0]:>10}{values[1]:>10}  {told:<38}{one.higher:>7}{one.lower:>7}  p {one.sign_test_p:.2g}"
            f"{_better(name, one)}"
        )
    return [*lines, ONE_TRAINING]


def _notes(first: Side, second: Side) -> Iterator[str]:
    """What else is to be known of the comparison: that nothing could differ, and what one side alone has."""
    if all(one == other for one, other in zip(_scored(first), _scored(second), strict=True)):
        yield "both score the same weights in the same way: what differs is rounding"
    alone = [
        f"{', '.join(names)} ({one.folder})"
        for one, other in ((first, second), (second, first))
        if (names := [name for name in one.puzzles if name not in other.puzzles and name not in NOT_A_METRIC])
    ]
    if alone:
        both = "; evaluate both with --stop-halted or both without" if _halts(first) != _halts(second) else ""
        yield f"not compared, one alone has them: {'; '.join(alone)}{both}"


def _scored(side: Side) -> Iterator[Any]:
    """What its figures follow from, besides the puzzles; of an old report nothing that is equal to anything."""
    report = side.report
    yield report.get("weights_digest") or object()
    yield from (report.get(name) for name in ("weights", "forward_dtype", "stops_halted", "supervision_steps"))
    config = report.get("config")
    yield config.get("evaluation") if isinstance(config, dict) else object()


def _halts(side: Side) -> bool:
    return bool(side.report.get("stops_halted"))


def _better(name: str, one: Paired) -> str:
    if not one.is_supported:
        return ""
    is_better = (one.difference > 0) == (direction(name.removesuffix("_halted")) != "min")
    return f"  {'first' if is_better else 'second'} is better"
