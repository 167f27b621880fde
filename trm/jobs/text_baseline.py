"""The text baseline: a language model fine-tuned on ARC tasks in words and asked, reported as an evaluation that compare reads."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from trm.config.files import apply_overrides, dump_yaml, load_yaml, validated
from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import ConfigError
from trm.evaluation.scores import Evaluation
from trm.files.atomic import fsync_file, make_folders, replacing, replacing_folder, write_text_atomic
from trm.jobs.evaluation.environment import environment
from trm.jobs.evaluation.folder import TEXTS, Done, check_folder, clear_folder, puzzle_names, write_evaluation
from trm.jobs.evaluation.table import finite, metric_lines
from trm.jobs.evaluation.votes import vote_lines
from trm.sweeps.places import held_folder, writable_folder
from trm.tasks.choice import task_named
from trm.tasks.ensure import ensure_dataset, task_of_data
from trm.tasks.task import Ballot
from trm.terminal.command_line import duration, show
from trm.text.answering import TextAnswer, answers_of, evaluation_of, votes_of
from trm.text.language_model import LanguageModel, is_4bit, load_model, require_extra, with_adapters, with_saved_adapters
from trm.text.prompts import Prompt, asked_prompts, training_prompts
from trm.text.settings import TextConfig
from trm.text.tuning import tuned
from trm.training.failures import memory_failures

ADAPTERS, CONFIG, TUNED = "adapters", "config.yaml", "tuned.json"
EVALUATION = "evaluation"
ASKED = ("split", "max_examples", "attempts", "temperature", "scoring", "quantized")
"""Fields that may change between a fine-tuning and what is asked of it."""
FROZEN_PASSES = 4
"""FLOPs of training a weight takes a token: a frozen one's gradient is not made, only what leads through it."""


@dataclass(frozen=True)
class TextOptions:
    """What the command line says."""

    config: str | None
    overrides: tuple[str, ...]
    out: str
    storage: str


def run_text_baseline(options: TextOptions) -> int:
    """Fine-tune, ask, show a table, write the folder; the exit code. Raises InputError for what a person can mend."""
    config, folder = _config(options), writable_folder(options.out, "--out")
    require_extra()
    check_folder(folder / EVALUATION)
    _require_same(folder, config)
    if (task := task_of_data(config.data, config.split)) != "arc":
        raise ConfigError(f"the text baseline is of ARC tasks, the data set holds {task} puzzles", remedy="name an ARC data set")
    with held_folder(folder, _is_begun, say):
        report = _done(config, folder, options.storage)
    show("\n".join(_lines(report)))
    say(f"{folder / EVALUATION} has what compare reads")
    return 0


def _is_begun(folder: Path) -> bool:
    return (folder / CONFIG).exists()


def _done(config: TextConfig, folder: Path, storage: str) -> dict[str, Any]:
    """Fine-tunes, asks, and writes the folder; the report."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    say(f"frozen weights {'in 4 bits' if is_4bit(config, device) else 'as they are: plain low-rank adapters, no 4 bits'}")
    with memory_failures():
        frozen = load_model(config, device)  # what a name may get wrong comes before what takes long
    data = ensure_dataset(config.data, str(Path(storage) / "data"), say)
    manifest, started = read_manifest(data), time.monotonic()
    train, split = (load_split(data, manifest, name) for name in ("train", config.split))
    with memory_failures():
        model, told = _tuned(frozen, train, config, folder)
        prompts = asked_prompts(train, split, range(len(split))[: config.max_examples])
        with shown("asking", say) as report:
            answers = answers_of(model, prompts, config, report)
    votes = votes_of(answers, prompts, split, config)
    evaluation = evaluation_of(votes, split)
    ballot = task_named(manifest.task).ballot(split, votes, _rows(prompts))
    assert ballot is not None, "ARC has votes"
    found = _report(config, manifest, data, evaluation, ballot)
    found |= told | _counts(answers) | {"parameters": model.parameters, "is_4bit": model.is_quantized}
    found["train_flops"] = float(FROZEN_PASSES * model.parameters * told["tuned"].get("tokens", 0))
    found |= {"seconds": time.monotonic() - started, "environment": environment()}
    place = folder / EVALUATION
    clear_folder(place)
    make_folders(place)
    _write_texts(place / TEXTS, answers)
    write_evaluation(place, Done(found, evaluation, puzzle_names(data, manifest), ballot))
    return found


def _config(options: TextOptions) -> TextConfig:
    values = load_yaml(options.config) if options.config is not None else {}
    return validated(TextConfig, apply_overrides(values, options.overrides), options.config or "command line")


def _require_same(folder: Path, config: TextConfig) -> None:
    """ConfigError where the folder has adapters of another fine-tuning."""
    if not (folder / CONFIG).is_file():
        return
    before = validated(TextConfig, load_yaml(folder / CONFIG), str(folder / CONFIG))
    one, other = (made.model_dump(mode="json", exclude=set(ASKED)) for made in (before, config))
    if differs := [name for name, value in one.items() if other[name] != value]:
        raise ConfigError(
            f"{folder} has adapters of another fine-tuning: {differs[0]} was {one[differs[0]]!r}, is {other[differs[0]]!r}",
            remedy="give another --out",
        )


def _tuned(model: LanguageModel, train: Split, config: TextConfig, folder: Path) -> tuple[LanguageModel, dict[str, Any]]:
    """The model with its adapters, those that the folder has already or fresh ones, and what is told of them."""
    dump_yaml(folder / CONFIG, config.model_dump(mode="json"))
    if config.epochs == 0:
        return model, {"tuned": {}}
    if (folder / ADAPTERS / TUNED).is_file():
        say(f"adapters of {folder / ADAPTERS}")
        return with_saved_adapters(model, folder / ADAPTERS), {"tuned": json.loads((folder / ADAPTERS / TUNED).read_text())}
    model = with_adapters(model, config)
    with shown("fine-tuning", say) as report:
        made = tuned(model, training_prompts(train), config, report)
    with replacing_folder(folder / ADAPTERS) as place:
        model.network.save_pretrained(str(place), safe_serialization=True)
        write_text_atomic(place / TUNED, json.dumps(asdict(made), indent=1) + "\n")
        for path in filter(Path.is_file, place.iterdir()):
            fsync_file(path)
    return model, {"tuned": asdict(made)}


def _rows(prompts: Sequence[Prompt]) -> Any:
    return torch.tensor([prompt.row for prompt in prompts], dtype=torch.int64).numpy()


def _report(config: TextConfig, manifest: Manifest, data: str, evaluation: Evaluation, ballot: Ballot) -> dict[str, Any]:
    """What every evaluation says, as JSON."""
    return {
        "path": config.model,
        "step": 0,
        "split": config.split,
        "data": {
            "name": manifest.name,
            "task": manifest.task,
            "folder": data,
            "content_hash": manifest.content_hash,
            "split_sha256": next(info for name, info in manifest.splits.items() if name == config.split).content_sha256,
        },
        "supervision_steps": None,
        "stops_halted": False,
        "notes": [],
        "counts": {"puzzles": len(evaluation.puzzles["puzzle"])},
        "metrics": finite(evaluation.metrics),
        "standard_errors": evaluation.standard_errors,
        "votes": ballot.figures() | {"curve": []},
        "config": config.model_dump(mode="json"),
    }


def _counts(answers: Sequence[TextAnswer]) -> dict[str, Any]:
    """What became of the answers."""
    return {
        "text": {
            "answers": len(answers),
            "without_grid": sum(not answer.has_grid for answer in answers),
            "unasked": sum(not answer.was_asked for answer in answers),
            "question_tokens": sum(answer.question_tokens for answer in answers),
            "answer_tokens": sum(answer.tokens for answer in answers),
            "largest_budget": max(answer.budget for answer in answers),
        }
    }


def _write_texts(path: Path, answers: Sequence[TextAnswer]) -> None:
    """A row an answer: what was written, of how many tokens, and whether a grid is in it."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist([asdict(answer) for answer in answers]), temporary)


def _lines(report: dict[str, Any]) -> list[str]:
    text, made = report["text"], report["tuned"]
    lines = [
        f"{report['path']}: {report['parameters']:,} parameters"
        + (f", fine-tuned on {made['examples']} examples in {made['steps']} steps" if made else ", as it is"),
        f"{report['split']} split of {report['data']['name']}: {text['answers']} answers, {text['without_grid']} without a grid, "
        f"{text['unasked']} of questions that are too long, at most {text['largest_budget']} tokens, {duration(report['seconds'])}",
    ]
    return [*lines, *metric_lines(report["metrics"], report["standard_errors"]), *vote_lines(report["votes"])]
