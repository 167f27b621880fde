"""Bad input for the tests of several rooms: files of every kind, and what a refusal is."""

import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trm.config.run import DataConfig
from trm.data.format.manifest import read_manifest
from trm.models.cost import run_cost
from trm.search.journal.events import LegEnded
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.space.space import load_space
from trm.sweeps.folder import write_sweep_file
from trm.terminal.command_line import run_job

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "name: tiny\ntask: sudoku\nsize: 4\ntrain: 40\nvalidation: 10\ntest: 10\n"
MODEL = "{mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_cycles: 1, hidden_size: 8}"
SPACE = f"""
name: tiny
data: {{folder: 'PLACE/data'}}
base: {{model: {MODEL}, optim: {{lr_warmup_steps: 0}}, training: {{global_batch_size: 16}}}}
search:
  model.hidden_size: {{type: choice, values: [8, 16]}}
  model.L_cycles: {{type: int, low: 1, high: 3}}
  optim.lr: {{type: float, low: 1e-3, high: 1e-2, log: true}}
budget: {{trials: 4, per_trial: 1.0e11}}
sampler: {{type: tpe}}
scheduler: {{type: asha, eta: 2, rungs: 2}}
tracking: {{enabled: false}}
"""
CONFIG = f"""
data: {{folder: 'PLACE/data'}}
model: {MODEL}
training: {{global_batch_size: 10, steps: 2}}
tracking: {{enabled: false}}
"""
BROKEN = {
    "empty.yaml": b"",
    "list.yaml": b"- a\n- b\n",
    "text.yaml": b"hello",
    "broken.yaml": b"a: [1\nb: }",
    "tab.yaml": b"a:\n\t- b",
    "twice.yaml": b"name: a\nname: b\n",
    "deep.yaml": b"[" * 1000,
    "zero.yaml": b"a: \x00b",
    "binary.yaml": bytes(range(256)),
    "utf16.yaml": "name: x".encode("utf-16"),
}

NEW = ("{place}/space.yaml", "--storage", "{place}/new/runs")
MINE = ("{place}/space.yaml", "--storage", "{place}/runs", "--name", "mine")

UNVALIDATED = (
    *("--set", "data.folder=null", "--set", "data.recipe={place}/recipe.yaml"),
    *("--set", "data.overrides.validation=0"),
)
RUN = ("{place}/config.yaml", "--storage", "{place}/new/runs")
AGAIN = ("--resume", "{place}/run", "--storage", "{place}/new/runs")


def job(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{name}", ROOT / "ray_jobs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


JOBS = {name: job(name) for name in ("sweep", "train", "evaluate", "build_dataset")}


def run(name: str, *arguments: str | Path) -> int:
    """The job, as the shell would run it, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"ray_jobs/{name}.py", *map(str, arguments)])
        return run_job(JOBS[name].main)


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def begin_sweep(place: Path, name: str) -> None:
    """A sweep that was killed before its first trial."""
    space, manifest, folder = load_space(place / "space.yaml"), read_manifest(str(place / "data")), place / "runs" / name
    folder.mkdir(parents=True)
    write_sweep_file(folder, space, manifest, DataConfig(folder=str(place / "data")), {})
    log = SweepLog(folder, Search(space, lambda config: run_cost(config, manifest.shape), folder=str(place / "data")))
    log.start(time.time(), driver="elsewhere:1", fence=1, slots=1, versions={})
    log.journal.close()


def scored_sweep(place: Path, name: str, **changes: Any) -> Path:
    """A sweep that was killed after its first score, with half a line at the end of its journal."""
    space = load_space(place / "space.yaml")
    space = space.model_copy(update=changes)
    manifest, folder = read_manifest(str(place / "data")), place / "runs" / name
    folder.mkdir(parents=True)
    write_sweep_file(folder, space, manifest, DataConfig(folder=str(place / "data")), {})
    log = SweepLog(folder, Search(space, lambda config: run_cost(config, manifest.shape), folder=str(place / "data")))
    log.start(time.time(), driver="elsewhere:1", fence=1, slots=1, versions={})
    (leg,) = log.advance(time.time(), 1)
    trial = log.search.trials[0].asked
    log.record(
        LegEnded(
            trial=0,
            rung=0,
            attempt=0,
            status="completed",
            objective=0.5,
            loss=1.0,
            steps=leg.until_steps,
            train_flops=leg.until_steps * trial.step_flops,
            at=time.time(),
        )
    )
    log.journal.close()
    with (folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"n":99,"fence":1,"crc":"torn')
    return folder


def prepared(place: Path) -> Path:
    """`place` with a recipe, its data set, a search space, a configuration, a run, a begun sweep, and files that are nothing."""
    for name, text in (("recipe.yaml", RECIPE), ("space.yaml", SPACE), ("config.yaml", CONFIG), ("file", "mine")):
        (place / name).write_text(text.replace("PLACE", str(place)))
    for name, content in BROKEN.items():
        (place / name).write_bytes(content)
    assert run("build_dataset", place / "recipe.yaml", "--out", place / "data") == 0
    assert run("train", place / "config.yaml", "--out", place / "run") == 0
    for name in ("driver.json", ".driver.json.lock"):  # a refused resume may take the lease and give it back
        (place / "run" / name).unlink()
    begin_sweep(place, "mine")
    return place


@contextmanager
def nothing_starts(*, may_connect: bool = False) -> Iterator[None]:
    """At the repository's root, fails what would start Ray (but where a test is about just that), train, or leave a folder."""

    def start(*arguments: object, **options: object) -> None:
        raise AssertionError("bad input was taken for good")

    was_there = (ROOT / "runs").exists()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("trm.jobs.sweep.connected", "trm.cluster.connection.connected", "trm.jobs.train.fit"):
            if not may_connect:
                patch.setattr(name, start)
        patch.chdir(ROOT)
        yield
    assert (ROOT / "runs").exists() == was_there, "a refused job leaves no folder"


def assert_refused(
    place: Path, capsys: pytest.CaptureFixture[str], words: str, name: str, *arguments: str | Path, may_connect: bool = False
) -> None:
    """Exit code 2, one message with these words, and every file below `place` as it was."""
    before = contents(place)
    with nothing_starts(may_connect=may_connect):
        code = run(name, *(str(argument).replace("{place}", str(place)) for argument in arguments))
    shown = capsys.readouterr()
    assert code == 2, shown.err
    assert sum(line.startswith("error: ") for line in shown.err.splitlines()) == 1, shown.err
    assert "Traceback" not in shown.err
    assert words.replace("{place}", str(place)) in shown.err
    assert "; " in shown.err, "a message ends with a remedy"
    assert shown.out == ""
    assert contents(place) == before
