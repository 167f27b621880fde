"""Bad input, as a user types it: exit code 2, one message of rule, value and remedy; nothing starts, is lost, or is left."""

import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trm.cluster.sweep_folder import write_sweep_file
from trm.command_line import run_job
from trm.config import DataConfig, RunConfig
from trm.config_files import load_yaml
from trm.data.manifest import Manifest, read_manifest
from trm.search.events import LegEnded
from trm.search.lease import Lease
from trm.search.search import Search
from trm.search.space import load_space
from trm.search.sweep_log import SweepLog
from trm.training.cost import run_cost

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
CONFIG = f"data: {{folder: 'PLACE/data'}}\nmodel: {MODEL}\ntraining: {{global_batch_size: 10, steps: 2}}\n"
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
SHARD = "train-00000-of-00001.parquet"


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


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object], *, is_sealed: bool = False) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    change(values)
    text = Manifest.model_validate(values).sealed().model_dump_json() if is_sealed else json.dumps(values)
    (folder / "manifest.json").write_text(text)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda data: (data / "manifest.json").unlink(), "manifest must exist"),
    "torn manifest": (lambda data: (data / "manifest.json").write_text('{"format_version": 1'), "must be JSON"),
    "list as manifest": (lambda data: (data / "manifest.json").write_text("[]"), "must be JSON with a format_version"),
    "newer manifest": (lambda data: change_manifest(data, lambda m: m.update(format_version=9)), "has the later format 9; update"),
    "changed manifest": (lambda data: change_manifest(data, lambda m: m.update(name="other")), "match its content hash"),
    "rows": (lambda data: change_manifest(data, lambda m: m["splits"]["train"].update(rows=41)), "counts 41 rows, its shards 40"),
    "shard's rows": (
        lambda data: change_manifest(
            data,
            lambda m: (m["splits"]["train"].update(rows=41), m["splits"]["train"]["shards"][0].update(rows=41)),
            is_sealed=True,
        ),
        f"{SHARD} has 40, not 41",
    ),
    "groups": (
        lambda data: change_manifest(data, lambda m: m["splits"]["train"].update(groups=39), is_sealed=True),
        "must match the manifest's content hash",
    ),
    "shard's hash": (
        lambda data: change_manifest(data, lambda m: m["splits"]["train"]["shards"][0].update(sha256="0" * 64)),
        "must have the hash in the manifest",
    ),
    "no shards": (
        lambda data: change_manifest(data, lambda m: m["splits"]["test"].update(rows=0, shards=[]), is_sealed=True),
        "test",
    ),
    "vocabulary": (lambda data: change_manifest(data, lambda m: m.update(vocabulary=["."] * 3), is_sealed=True), "tokens below 3"),
    "shard missing": (lambda data: (data / SHARD).unlink(), f"shard must exist: {{place}}/damaged/{SHARD}"),
    "shard torn": (lambda data: (data / SHARD).write_bytes((data / SHARD).read_bytes()[:-5]), "size in the manifest"),
    "shard corrupt": (lambda data: flip(data / SHARD), "must have the hash in the manifest"),
    "shard foreign": (lambda data: (data / SHARD).write_bytes(b"x" * (data / SHARD).stat().st_size), f"{SHARD} has"),
    "folder as shard": (lambda data: ((data / SHARD).unlink(), (data / SHARD).mkdir()), "shard must be readable"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its data set, a search space, a configuration, a run, a begun sweep, and files that are none of these."""
    place = tmp_path_factory.mktemp("bad input, ümlaut")
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


@pytest.fixture(autouse=True)
def _nothing_starts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails what would start Ray or train; except where a test is about just that."""
    if "ray" not in request.keywords and "place" in request.fixturenames:
        request.getfixturevalue("place")

        def start(*arguments: object, **options: object) -> None:
            raise AssertionError("bad input was taken for good")

        for name in ("trm.cluster.sweep.connected", "trm.cluster.connection.connected", "trm.cluster.train.fit"):
            monkeypatch.setattr(name, start)
    monkeypatch.chdir(ROOT)
    was_there = (ROOT / "runs").exists()
    yield
    assert (ROOT / "runs").exists() == was_there, "a refused job leaves no folder"


def assert_refused(place: Path, capsys: pytest.CaptureFixture[str], words: str, name: str, *arguments: str | Path) -> None:
    """Exit code 2, one message with these words, and every file below `place` as it was."""
    before = contents(place)
    code = run(name, *(str(argument).replace("{place}", str(place)) for argument in arguments))
    shown = capsys.readouterr()
    assert code == 2, shown.err
    assert sum(line.startswith("error: ") for line in shown.err.splitlines()) == 1, shown.err
    assert "Traceback" not in shown.err
    assert words.replace("{place}", str(place)) in shown.err
    assert "; " in shown.err, "a message ends with a remedy"
    assert shown.out == ""
    assert contents(place) == before


SETTINGS = [
    ("nme=x", "nme is not a key; did you mean name?"),
    ("budget.trails=3", "budget.trails is not a key; did you mean budget.trials?"),
    ("objective.metrc=x", "did you mean objective.metric?"),
    ("resources.gpu=1", "did you mean resources.gpus?"),
    ("tracking.url=x", "did you mean tracking.uri?"),
    ("keep.bst=2", "did you mean keep.best?"),
    ("data.foldr=x", "did you mean data.folder?"),
    ("base.model.hidden_sze=3", "base.model.hidden_sze is not a key; did you mean model.hidden_size?"),
    ("base.modl={}", "base.modl is not a key; did you mean model?"),
    ("search.model.L_cycles.hihg=3", "did you mean search.model.L_cycles.high?"),
    ("sampler.startup=3", "did you mean sampler.startup_trials?"),
    ("scheduler.et=3", "scheduler.et is not a key; did you mean scheduler.eta?"),
    (
        "scheduler.type=none",
        "scheduler.eta goes with type asha or successive_halving or hyperband, not none; remove it, or replace the whole scheduler",
    ),
    ("sampler.population=3", "sampler.population goes with type nsga2 or nsga3, not tpe"),
    ("search.model.L_cycles.values=[1]", "goes with type choice, not int"),
    (
        "scheduler.type=hyperbend",
        "scheduler.type must be one of asha, successive_halving, hyperband, median, pbt, none, got 'hyperbend'",
    ),
    ("scheduler={type: pbt}", "scheduler pbt changes knobs within a run"),
    ("fidelity=flops", "fidelity must be one of train_flops, steps, epochs, seconds"),
    ("budget.gpu_hours=2", "budget.gpu_hours 2 never ends a sweep whose trials hold no GPU"),
    ("keep.bytes=many", "keep.bytes must be a number of bytes such as 200GB, got 'many'"),
    ("sampler.type=tp", "did you mean tpe?"),
    ("budget.trials=many", "budget.trials must be a whole number, got 'many'"),
    ("budget.trials=1.5", "must be a whole number, got 1.5"),
    ("budget.per_trial=true", "budget.per_trial must be a number, got true"),
    ("base.model.H_cycles=true", "base.model.H_cycles must be a whole number, got true"),
    ("resources=5", "resources must be a mapping, got 5"),
    ("budget=null", "budget must be a mapping, got null"),
    ("constraints=hidden_size > 3", "constraints must be a list"),
    ("start_points=[{model.L_cycles: [1]}]", "must be a number or text or true or false, got [1]"),
    ("budget.trials=0", "budget.trials must be >= 1, got 0"),
    ("budget.per_trial=.inf", "must be a finite number, got inf"),
    ("resources.cpus=.inf", "must be a finite number, got inf"),
    ("resources.workers=3", "global batch 16 must divide by 3 workers; try 15 or 18"),
    ("resources.cpus=1000", "a trial asks for 1000 CPUs, and this machine has"),
    ("seed=99999999999999999999", "seed must be < 9223372036854775808"),
    ("name=a/b", "name must match"),
    ("budget.trials=null", "a sweep needs an end"),
    ("data.folder=null", "data needs one of recipe and folder, neither was given"),
    ("data.recipe=x.yaml", "got recipe 'x.yaml' and folder"),
    ("search={}", "search must have at least 1 entries"),
    ("search.model.H_cycles=3", "search.model.H_cycles must be a mapping, got 3"),
    ("search.model.H_cycle={type: int, low: 1, high: 2}", "did you mean model.H_cycles?"),
    ("search.model.L_cycles.low=9", "low must be <= high, got low 9 and high 3"),
    ("search.model.L_cycles.high=99", "search.model.L_cycles reaches 99, but model.L_cycles must be <= 64"),
    ("search.model.hidden_size.values=[]", "at least 1 entries"),
    ("search.seed={type: int, low: 1, high: 2}", "seed cannot be searched"),
    ("search.model.L_cycles.when={model.hiden_size: 8}", "did you mean model.hidden_size?"),
    ("search.model.L_cycles.when={model.L_cycles: 1}", "go in a circle"),
    ("start_points=[{model.hidden_size: 9}]", "start_points.0.model.hidden_size is 9, outside [8, 16]"),
    ("start_points=[{model.hidden_size: a}]", "start_points.0.model.hidden_size must be a whole number, got 'a'"),
    ("constraints=['hidden_size >']", "is not an expression"),
    ("constraints=['hidden_sze > 3']", "did you mean hidden_size?"),
    ("constraints=['__import__(\"os\")']", "the functions are min, max, abs, ceil, floor, log2\n"),
    ("constraints=[hidden_size]", "gives 8, not true or false"),
    (
        "constraints=['hidden_size > 100']",
        "the search space is empty: none of 1008 draws kept every rule, 1008 of them broke: hidden_size > 100",
    ),
    ("constraints=['hidden_size < 9', 'hidden_size > 9']", "the search space is empty"),
    ("constraints=[step_gflops <= 0.00001]", "broke: step_gflops <= 0.00001; loosen that rule"),
    ("base.model.pos_encodings=rope", "the search space is empty"),
    ("budget.per_trial=1e6", "the first rung must give every configuration 100 steps"),
    ("sampler=brute_force", "use choices in place of floats"),
    ("objective.metric=exact_acuracy", "reports, got 'exact_acuracy'; did you mean exact_accuracy?"),
    ("objective.metric=pass_at_2", "an evaluation of sudoku reports, got 'pass_at_2'; choose one of exact_accuracy,"),
    ("base=nowhere.yaml", "nowhere.yaml does not exist"),
    ("base.recipe=recipe.yaml", "recipe.yaml must be a run configuration, but is a data set recipe"),
    ("base.recipe=3", "base.recipe must be the path of a run configuration, got 3"),
    ("data.folder=nowhere", "nowhere/manifest.json does not"),
    ("data.folder=nosuch://x", "Protocol not known: nosuch"),
    ("data={recipe: nowhere.yaml}", "nowhere.yaml does not exist"),
    ("data={recipe: datasets}", "datasets cannot be read: Is a directory"),
    ("data={recipe: '{place}/space.yaml'}", "must be a data set recipe, but is a search space; ray_jobs/sweep.py takes it"),
    ("data={recipe: '{place}/recipe.yaml', overrides: {trian: 3}}", "trian is not a key; did you mean train?"),
    ("data={recipe: '{place}/recipe.yaml', overrides: {train: 9999}}", "there are only 4710"),
    ("data={recipe: '{place}/recipe.yaml', overrides: {validation: 0}}", "validation puzzles are needed"),
    ("tracking={uri: some/folder}", "tracking.uri must be a database or a server, got 'some/folder'"),
    ("tracking={uri: 'postgres://h/x'}", "did you mean postgresql://?"),
    ("foo", "an override is path=value, got 'foo'"),
    ("=3", "an override is path=value"),
    ("a..b=3", "an override is path=value"),
    ("seed=[1", "--set seed line 1 column 3 is not valid YAML"),
    ("seed=!!python/object:os.system x", "is not valid YAML"),
]


@pytest.mark.parametrize(("setting", "words"), SETTINGS, ids=[setting for setting, _ in SETTINGS])
def test_a_sweep_refuses_settings(place: Path, capsys: pytest.CaptureFixture[str], setting: str, words: str) -> None:
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/new/runs", "--set", setting)


NEW = ("{place}/space.yaml", "--storage", "{place}/new/runs")
MINE = ("{place}/space.yaml", "--storage", "{place}/runs", "--name", "mine")
SWEEPS = [
    ((), "arguments are required: space; see python ray_jobs/sweep.py --help"),
    ((*NEW, "--trials", "0"), "budget.trials must be >= 1, got 0"),
    ((*NEW, "--trials", "x"), "argument --trials: invalid int value: 'x'"),
    ((*NEW, "--nonsense"), "unrecognized arguments: --nonsense"),
    ((*NEW, "--set"), "argument --set: expected one argument"),
    ((*NEW, "--name", "a/b"), "got 'a/b'"),
    ((*NEW, "--name", ""), "got ''"),
    ((*NEW, "--name", ".."), "got '..'"),
    ((*NEW, "--name", "data"), "got 'data'"),
    ((*NEW, "--name", "x" * 300), "--name must be letters"),
    ((*NEW, "--resume"), "there is no sweep of tiny to resume in {place}/new/runs; start it without --resume"),
    ((*NEW, "--address", "nonsense"), "the address of a Ray cluster is HOST:PORT, auto or local, got 'nonsense'"),
    ((*NEW, "--address", "http://127.0.0.1:8265"), "the address of a Ray cluster is HOST:PORT"),
    ((*NEW, "--address", "127.0.0.1:1"), "a Ray cluster must answer at 127.0.0.1:1"),
    (MINE, "the sweep {place}/runs/mine exists; go on with it by --resume, or give another --name"),
    ((*MINE[:-1], "other", "--resume"), "there is no sweep to resume in {place}/runs/other; the sweeps there are mine"),
    ((*MINE, "--resume", "--set", "seed=5"), "started with another search space: seed: 0 -> 5"),
    ((*MINE, "--resume", "--set", "search.optim.lr.high=0.1"), "search.optim.lr.high: 0.01 -> 0.1"),
    ((*MINE, "--resume", "--set", "scheduler=none"), "scheduler.type: 'asha' -> 'none'"),
    ((*MINE, "--resume", "--set", "budget.per_trial=5e10"), "budget.per_trial"),
    ((*MINE, "--resume", "--trials", "0"), "budget.trials must be >= 1"),
    (("{place}/space.yaml", "--storage", "{place}", "--name", "data"), "got 'data'"),
    (("{place}/space.yaml", "--storage", "{place}", "--name", "run"), "{place}/run exists and is no sweep"),
    (("{place}/space.yaml", "--storage", "{place}/file/x"), "--storage must be a folder that can be written: {place}/file/x"),
    (("{place}/space.yaml", "--storage", "/proc/nowhere"), "--storage must be a folder that can be written: /proc/nowhere"),
    (("{place}/space.yaml", "--storage", "s3://bucket/x"), "--storage must be a folder of a POSIX file system"),
    (("{place}/space.yaml", "--storage", ""), "--storage must be a folder of a POSIX file system, got ''"),
    (("{place}", "--storage", "{place}/new"), "{place} cannot be read: Is a directory"),
    (("{place}/nowhere.yaml", "--storage", "{place}/new"), "{place}/nowhere.yaml does not exist"),
    (("search_spaces/sudoku4x5.yaml", "--storage", "{place}/new"), "did you mean search_spaces/sudoku4x4.yaml?"),
    (
        ("{place}/config.yaml", "--storage", "{place}/new"),
        "must be a search space, but is a run configuration; ray_jobs/train.py takes it",
    ),
    (("{place}/recipe.yaml", "--storage", "{place}/new"), "must be a search space, but is a data set recipe"),
    *((("{place}/" + name, "--storage", "{place}/new"), "{place}/" + name) for name in BROKEN),
]


@pytest.mark.parametrize(("arguments", "words"), SWEEPS, ids=[" ".join(arguments)[-70:] for arguments, _ in SWEEPS])
def test_a_sweep_refuses(place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert_refused(place, capsys, words, "sweep", *arguments)


RUN = ("{place}/config.yaml", "--storage", "{place}/new/runs")
AGAIN = ("--resume", "{place}/run", "--storage", "{place}/new/runs")
TRAININGS = [
    ((), "a run needs a configuration; give one"),
    ((*RUN, "--set", "model.hidden_sze=3"), "did you mean model.hidden_size?"),
    ((*RUN, "--set", "training.steps=null"), "a run needs a length"),
    ((*RUN, "--set", "training.epochs=3"), "a run has one length, got epochs 3 and steps 2"),
    ((*RUN, "--set", "optim.lr=.nan"), "must be a finite number"),
    ((*RUN, "--set", "data.folder=nowhere"), "nowhere/manifest.json does not"),
    ((*RUN, "--workers", "0"), "workers must be >= 1, got 0"),
    ((*RUN, "--workers", "-1"), "workers must be >= 1, got -1"),
    ((*RUN, "--workers", "3"), "global batch 10 must divide by 3 workers; try 9 or 12"),
    ((*RUN, "--workers", "2", "--gpus", "-1"), "gpus must be >= 0, got -1"),
    ((*RUN, "--workers", "2", "--gpus", "nan"), "gpus must be a finite number"),
    ((*RUN, "--workers", "2", "--address", "nonsense"), "the address of a Ray cluster is HOST:PORT"),
    ((*RUN, "--workers", "1000", "--set", "training.global_batch_size=1000"), "a trial asks for 1000 workers with 1 CPUs each"),
    ((*RUN, "--gpus", "1"), "--gpus is for a gang"),
    ((*RUN, "--out", "{place}/data"), "{place}/data is taken"),
    ((*RUN, "--out", "{place}/file"), "--out must be a folder that can be written"),
    ((*RUN, "--out", "/proc/x"), "--out must be a folder that can be written"),
    ((*RUN, "--out", "s3://x/y"), "--out must be a folder of a POSIX file system"),
    (("{place}/config.yaml", "--storage", "{place}/file/x"), "--storage must be a folder that can be written"),
    (("{place}/space.yaml",), "must be a run configuration, but is a search space; ray_jobs/sweep.py takes it"),
    (("{place}/list.yaml",), "must hold a mapping of keys to values, but holds a list"),
    (("--resume", "{place}/nowhere"), "{place}/nowhere' is no run: it holds no config.yaml"),
    (("--resume", "{place}/run/best"), "a run is continued from a checkpoint, and {place}/run/best has none"),
    ((*AGAIN, "--out", "{place}/new/out"), "a run goes on in its own folder"),
    ((*AGAIN, "--set", "model.hidden_size=16"), "has model.hidden_size 8, this run 16; set model.hidden_size to 8"),
    ((*AGAIN, "--set", "seed=4"), "has seed 0, this run 4"),
    ((*AGAIN, "--set", "training.global_batch_size=20", "--workers", "2"), "has training.global_batch_size 10, this run 20"),
    (("search_spaces/recipes/sudoku_mlp.yaml", *AGAIN), "a run continues only a checkpoint of its own configuration"),
]


@pytest.mark.parametrize(("arguments", "words"), TRAININGS, ids=[" ".join(arguments)[-70:] for arguments, _ in TRAININGS])
def test_train_refuses(place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert_refused(place, capsys, words, "train", *arguments)


BUILD = ("{place}/recipe.yaml", "--out", "{place}/new/data")
OTHERS = [
    ("build_dataset", (), "one of a recipe and --show DIR is needed, neither was given"),
    ("build_dataset", (*BUILD, "--set", "tain=3"), "tain is not a key; did you mean train?"),
    ("build_dataset", (*BUILD, "--set", "train=true"), "train must be a whole number, got true"),
    ("build_dataset", (*BUILD, "--set", "train=null"), "train and test must be numbers"),
    ("build_dataset", (*BUILD, "--set", "size=5"), "size must be one of 4, 6, 9, got 5"),
    ("build_dataset", (*BUILD, "--set", "task=chess"), "task must be one of sudoku, maze, arc, arrays, mixture, got 'chess'"),
    ("build_dataset", (*BUILD, "--set", "size=9", "--set", "path=/nowhere"), "/nowhere"),
    ("build_dataset", ("datasets/arc1.yaml", *BUILD[1:], "--set", "path=/nowhere"), "the folder of ARC files must exist: /nowhere"),
    ("build_dataset", ("datasets/arc1.yaml", *BUILD[1:], "--set", "path=nosuch://x"), "Protocol not known"),
    ("build_dataset", ("datasets/maze_hard.yaml", *BUILD[1:], "--set", "path=/nowhere"), "/nowhere holds neither"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "{place}"), "{place} exists and holds something else"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "/proc/x"), "a data set's folder must be writable: /proc/x"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "nosuch://x"), "Protocol not known"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "{place}/data", "--set", "seed=3"), "{place}/data holds tiny"),
    ("build_dataset", ("{place}/space.yaml",), "must be a data set recipe, but is a search space"),
    ("build_dataset", ("{place}/binary.yaml",), "{place}/binary.yaml cannot be read: it is not UTF-8 text"),
    ("evaluate", ("{place}/nowhere",), "{place}/nowhere does not exist"),
    ("evaluate", ("{place}/data",), "weights lie in a checkpoint, an export, a run or a sweep, and {place}/data is none"),
    ("evaluate", ("{place}/run", "--split", "tset"), "invalid choice: 'tset'"),
    ("evaluate", ("{place}/run", "--votes", "0"), "--votes must be >= 1, got 0"),
    ("evaluate", ("{place}/run", "--out", "{place}/no/r.json"), "--out must name a file in a folder that exists"),
    ("evaluate", ("{place}/run", "--out", "/proc/r.json"), "--out must name a file that can be written"),
    ("evaluate", ("{place}/run", "--set", "model.hidden_size=16"), "has model.hidden_size 8, 16 is asked for"),
    ("evaluate", ("{place}/run", "--config", "{place}/space.yaml"), "must be a run configuration, but is a search space"),
    ("evaluate", ("{place}/file", "--config", "{place}/config.yaml"), "holds no plain weights"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "words"), OTHERS, ids=[f"{name} {' '.join(arguments)}"[-70:] for name, arguments, _ in OTHERS]
)
def test_build_and_evaluate_refuse(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: tuple[str, ...], words: str
) -> None:
    assert_refused(place, capsys, words, name, *arguments)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_data_set_that_is_not_what_its_manifest_says_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    do, words = DAMAGES[damage]
    shutil.rmtree(place / "damaged", ignore_errors=True)
    shutil.copytree(place / "data", place / "damaged")
    do(place / "damaged")
    for name, arguments in (("sweep", NEW), ("train", RUN)):
        assert_refused(place, capsys, words if name == "sweep" or damage != "no shards" else "", name, *arguments, *DAMAGED)
    shutil.rmtree(place / "damaged")


DAMAGED = ("--set", "data.folder={place}/damaged")

JOURNALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda folder: (folder / "journal.jsonl").write_bytes(b""), "there is no sweep to resume in {place}/runs/torn"),
    "garbage": (
        lambda folder: (folder / "journal.jsonl").write_bytes(b"garbage\n"),
        "holds no whole event; restore it from a copy",
    ),
    "flipped": (
        lambda folder: (folder / "journal.jsonl").write_bytes(
            (folder / "journal.jsonl").read_bytes().replace(b'"seed":0', b'"seed":1')
        ),
        "journal.jsonl is corrupt at byte 0",
    ),
    "no sweep.yaml": (lambda folder: (folder / "sweep.yaml").unlink(), "sweep.yaml does not exist; restore it from a copy"),
    "other sweep.yaml": (lambda folder: (folder / "sweep.yaml").write_text("a: 1"), "must say what the sweep is"),
    "torn lease": (lambda folder: (folder / "driver.json").write_text("{"), "driver.json is not a lease"),
}


@pytest.mark.parametrize("damage", JOURNALS)
def test_a_damaged_sweep_is_not_resumed(place: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    do, words = JOURNALS[damage]
    shutil.copytree(place / "runs" / "mine", place / "runs" / "torn")
    (place / "runs" / "torn" / ".driver.json.lock").touch()
    try:
        do(place / "runs" / "torn")
        assert_refused(place, capsys, words, "sweep", *MINE[:-1], "torn", "--resume")
    finally:
        shutil.rmtree(place / "runs" / "torn")


def test_what_a_living_driver_holds_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "runs" / "mine", place / "runs" / "held")
    shutil.copytree(place / "run", place / "held")
    with Lease(place / "runs" / "held"), Lease(place / "held"):
        assert_refused(place, capsys, "held is held by a living driver", "sweep", *MINE[:-1], "held", "--resume")
        assert_refused(place, capsys, "held is held by a living driver", "train", "--resume", "{place}/held")
    shutil.rmtree(place / "runs" / "held")
    shutil.rmtree(place / "held")


def test_a_resume_without_its_data_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").rename(place / "elsewhere")
    try:
        assert_refused(place, capsys, "the manifest must exist: {place}/data/manifest.json", "sweep", *MINE, "--resume")
        assert_refused(place, capsys, "the manifest must exist: {place}/data/manifest.json", "train", *AGAIN)
    finally:
        (place / "elsewhere").rename(place / "data")


def test_a_ray_job_needs_a_storage_that_lasts(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    for name, file in (("sweep", "space"), ("train", "config")):
        assert_refused(place, capsys, "a Ray job needs --storage", name, f"{{place}}/{file}.yaml")
        relative = (f"{{place}}/{file}.yaml", "--storage", "somewhere")
        assert_refused(place, capsys, "a Ray job needs an absolute --storage, got somewhere", name, *relative)


def test_a_message_has_no_end_of_problems(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(word for number in range(20) for word in ("--set", f"key{number}=1"))
    assert_refused(place, capsys, "and 12 more; mend them and start again", "sweep", *NEW, *many)


def test_a_data_folder_is_known_by_its_absolute_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert run("train", "config.yaml", "--set", "data.folder=data", "--out", "relative") == 0
    values = load_yaml(place / "relative" / "config.yaml")
    assert RunConfig.model_validate(values).data.folder == str(place / "data")
    shutil.rmtree(place / "relative")


@pytest.mark.ray
def test_a_sweep_that_can_never_be_scheduled_is_refused_and_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "a trial asks for 1 CPUs and 1000 GPUs, and the cluster has"
    assert_refused(place, capsys, words, "sweep", *NEW, "--set", "resources.gpus=1000")


# Earlier sweeps -------------------------------------------------------------------------------------------------------------


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
        journal.write(b'{"n":99,"crc":"torn')
    return folder


@pytest.fixture(scope="module")
def earlier(place: Path) -> Path:
    return scored_sweep(place, "scored")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--warm-start", "{place}/runs/mien"], "--warm-start {place}/runs/mien does not exist; the sweeps there are mine, scored"),
        (["--warm-start", "{place}/data"], "--warm-start {place}/data is no sweep: it has no journal; give the folder of a sweep"),
        (
            ["--warm-start", "{place}/runs/mine"],
            "has no trial with a score (0 were begun); wait until it has some, or leave it out",
        ),
        (["--warm-start", "{place}/runs/scored", "{place}/runs/scored"], "names {place}/runs/scored twice; name it once"),
        (["--set", "sampler=carried"], "sampler carried tries an earlier sweep's configurations, and none was given; add"),
        (
            ["--warm-start", "{place}/runs/scored", "--set", "search={optim.beta1: {type: float, low: 0.8, high: 0.9}}"],
            "must search a knob of this space, and has none of optim.beta1; leave it out, or search one of its model.hidden_size",
        ),
        (
            ["--warm-start", "{place}/runs/scored", "--set", "search.optim.lr={type: float, low: 0.5, high: 0.6}"],
            "none of its 1 scored trials is a configuration of this space, optim.lr was",
        ),
        (
            ["--resume", "--name", "mine", "--warm-start", "{place}/runs/scored"],
            "began without --warm-start, and now it is {place}/runs/scored; leave --warm-start out of a resume",
        ),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused(
    place: Path, earlier: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert earlier.exists()
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", *arguments)


def test_a_damaged_earlier_journal_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored_sweep(place, "damaged")
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join([lines[0], lines[1][:-9] + b"\n", *lines[2:]]))
    words = "runs/damaged cannot be read: {place}/runs/damaged/journal.jsonl is corrupt at byte"
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--warm-start", folder)
    shutil.rmtree(folder)


def test_a_start_point_names_a_recipe_that_exists(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting = "start_points=[{recipe: search_spaces/recipes/sudoku_mpl.yaml}]"
    words = "search_spaces/recipes/sudoku_mpl.yaml does not exist; did you mean search_spaces/recipes/sudoku_mlp.yaml?"
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--set", setting)
