"""The page of a run of train.py, a checkpoint, or exported weights; some puzzles are asked for it, with every step's answer."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trm.config.data import DataConfig
from trm.console.streams import say
from trm.data.format.manifest import SplitName
from trm.distributed import SOLO
from trm.errors import CheckpointError, DatasetError
from trm.files.json_files import read_json
from trm.files.small_parquet import is_small
from trm.jobs.compare import read_side
from trm.jobs.evaluation.folder import PUZZLES, REPORT
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.evaluation.work import evaluated
from trm.jobs.view_answers import puzzle_sections
from trm.pages.page import Page, Section
from trm.pages.run import config_section, curve_sections, evaluations_section, examples_section, scores_sections
from trm.sweeps.commands import job_command
from trm.tasks.choice import task_named
from trm.tasks.ensure import summary_of
from trm.tasks.examples import EXAMPLES_FILE
from trm.tasks.places import data_beside, refuse_remote
from trm.training.run_folder import CURVE_FILE, EVALUATIONS_FILE
from trm.training.weights import Weights, read_weights

MOST_ANSWERED, FEWEST_ANSWERED = 200, 48
"""Puzzles that are answered for a page: of small grids, and of those of more than `SMALL_CELLS` cells."""
SMALL_CELLS = 100
VOTES = 16
"""Augmentations that vote for an ARC pair on a page."""


def page_of(folder: Path, data: str | None = None, split: SplitName | None = None) -> Page:
    """The page of the run or weights in a folder. `split`: whose puzzles are answered; None: validation's.

    Raises InputError for weights that are damaged, or of another version.
    """
    weights = read_weights(folder)
    sections = _scores(folder)
    sections += _answered(folder, weights, data, split)
    sections += _kept_examples(folder)
    sections += curve_sections(_columns(folder / CURVE_FILE))
    sections += evaluations_section(_rows(folder / EVALUATIONS_FILE))
    sections += _evaluations_inside(folder)
    sections.append(config_section(weights.config.model_dump(mode="json")))
    about = f"{weights.config.model.architecture}, step {weights.step:,}, {weights.train_flops:.3g} training FLOPs"
    return Page(f"Run {folder.resolve().name}", "run", sections, about=about)


def _scores(folder: Path) -> list[Section]:
    """What the report beside the weights says."""
    for place in (folder / "best" / REPORT, folder / REPORT):
        try:
            return scores_sections(read_json(place, dict, error=CheckpointError, remedy="remove it"))
        except FileNotFoundError:
            continue
        except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
            return [_told("Scores", f"{place} is not what a run writes ({str(error)[:200]}).")]
    return []


def _answered(folder: Path, weights: Weights, data: str | None, split: SplitName | None) -> list[Section]:
    """Puzzles of a split with the answers after every step, asked now; or why there are none."""
    asked: SplitName = split or "validation"
    try:
        place, there = _data(folder, weights.config.data, data)
    except DatasetError as error:
        return [_told("Puzzles", f"No puzzle was asked ({error.problem}): name the data set by --data FOLDER.")]
    if asked not in there:
        if split is not None:
            raise DatasetError(f"--split must be one of {', '.join(there)}, got {split}", remedy="name one of them")
        told = "the data set has no validation puzzles, and test is looked at only when you say so (--split test)"
        return [_told("Puzzles", f"No puzzle was asked: {told}.")]
    with tempfile.TemporaryDirectory(prefix="trm-view-") as scratch:
        evaluation = Path(scratch) / "evaluation"
        evaluated(_options(folder, asked, place, evaluation, weights), SOLO, say)
        side = read_side(str(evaluation))
        steps = side.report["supervision_steps"]
        told = f"Asked for this page: a seeded choice of puzzles of {asked}, after each of {steps} steps."
        told += " It is one more look at test." if asked == "test" else ""
        return puzzle_sections([side], place, titles=[str(folder)], told=[told])


def _data(folder: Path, config: DataConfig, named: str | None) -> tuple[str, Sequence[SplitName]]:
    """Where the data set lies, and its splits. DatasetError where it cannot be read, or is somewhere that nobody named."""
    if named is None:
        refuse_remote(config, folder)
    place = named or data_beside(config, folder, say=say).folder
    if place is None:
        raise DatasetError(f"{folder} names a recipe, and not where its data set was built", remedy="name it")
    return place, summary_of(DataConfig(folder=place)).splits


def _options(folder: Path, split: SplitName, data: str, place: Path, weights: Weights) -> EvaluateOptions:
    cells, task = weights.shape.seq_len, summary_of(DataConfig(folder=data)).task
    most = MOST_ANSWERED if cells <= SMALL_CELLS else FEWEST_ANSWERED
    return EvaluateOptions(
        path=str(folder),
        split=split,
        overrides=(f"evaluation.max_examples={most}", f"data.folder={data}"),
        config=None,
        votes=VOTES if task_named(task).has_votes else None,
        out=None,
        storage=str(place.parent),
        folder=str(place),
        has_all_steps=True,
    )


def _kept_examples(folder: Path) -> list[Section]:
    path = folder / EXAMPLES_FILE
    try:
        return [examples_section(read_json(path, dict, error=DatasetError, remedy="remove it"))]
    except FileNotFoundError:
        return []
    except (DatasetError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return [_told("Examples", f"{path} is not what a run writes ({str(error)[:200]}).")]


def _evaluations_inside(folder: Path) -> list[Section]:
    """Evaluations that lie in the run's folder, and how they are seen."""
    found = sorted(path.parent for path in folder.glob(f"*/{PUZZLES}") if (path.parent / REPORT).is_file())
    rows = [{"evaluation": path.name, "see it by": f"{job_command('view.py')} {shlex.quote(str(path))}"} for path in found]
    return [Section("values", "Evaluations in its folder", {"rows": rows})] if rows else []


def _table(path: Path) -> pa.Table | None:
    """A small table; None where there is none, or it is damaged."""
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        return file.read(use_threads=False) if is_small(file) else None
    except (OSError, pa.ArrowException):
        return None


def _columns(path: Path) -> dict[str, Sequence[Any]]:
    table = _table(path)
    return {} if table is None else table.to_pydict()


def _rows(path: Path) -> list[dict[str, Any]]:
    table = _table(path)
    return [] if table is None else table.to_pylist()


def _told(title: str, text: str) -> Section:
    return Section("values", title, {"lines": [text]})
