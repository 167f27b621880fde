"""Bad input, as a user types it at sweep.py: exit code 2, rule, value and remedy; nothing starts, is lost, or is left."""

from pathlib import Path

import pytest
from bad_input_cases import BROKEN, MINE, NEW, UNVALIDATED, assert_refused, prepared


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("bad input, ümlaut"))


SETTINGS = [
    ("nme=x", "nme is not a key; did you mean name?"),
    ("budget.trails=3", "budget.trails is not a key; did you mean budget.trials?"),
    ("objective.metrc=x", "did you mean objective.metric?"),
    ("resources.gpu=1", "did you mean resources.gpus?"),
    ("tracking.url=x", "did you mean tracking.uri?"),
    ("keep.bst=2", "did you mean keep.best?"),
    ("data.foldr=x", "did you mean data.folder?"),
    ("base.model.hidden_sze=3", "base.model.hidden_sze is not a key; did you mean base.model.hidden_size?"),
    ("base.modl={}", "base.modl is not a key; did you mean model?"),
    ("search.model.L_cycles.hihg=3", "did you mean search.model.L_cycles.high?"),
    ("sampler.startup=3", "did you mean sampler.startup_trials?"),
    ("scheduler.et=3", "scheduler.et is not a key; did you mean scheduler.eta?"),
    (
        "scheduler.type=none",
        "scheduler.eta goes with type asha or successive_halving or hyperband, not none; remove it, or "
        "replace the whole scheduler, as by --set scheduler='{type: none}'",
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
    (
        "base.training.cuda_graph=maybe",
        "space.yaml: base.training.cuda_graph must be true or false or auto, got 'maybe'; give true or false or auto\n",
    ),
    ("base.training.compile=3", "base.training.compile must be true or false or auto, got 3"),
    ("resources=5", "resources must be a mapping, got 5"),
    ("budget=null", "budget must be a mapping, got null"),
    ("constraints=hidden_size > 3", "constraints must be a list"),
    ("start_points=[{model.L_cycles: [1]}]", "must be a number or text or true or false, got [1]"),
    ("budget.trials=0", "budget.trials must be >= 1, got 0"),
    ("budget.per_trial=.inf", "must be a finite number, got inf"),
    ("resources.cpus=.inf", "must be a finite number, got inf"),
    ("resources.workers=3", "global batch 16 must divide by 3 workers; try 15 or 18"),
    ("resources.cpus=1000", "a trial asks for 1000 CPUs, and this machine has"),
    ("seed=99999999999999999999", "seed must be <= 9223372036854775807"),
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
    ("base.model.pos_encodings=rope", "no trial can be, whatever the knobs are: model: mlp_t mixes"),
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
    ("data={recipe: '{place}/recipe.yaml', num_aug: -1}", "num_aug must be >= 1, got -1; use a value >= 1"),
    ("data={recipe: '{place}/recipe.yaml', overrides: {train: 9999}}", "there are only 4710"),
    (
        "data={recipe: '{place}/recipe.yaml', overrides: {validation: 0}}",
        "a sweep ranks its trials by validation puzzles, and {place}/recipe.yaml has only train, test; hold "
        "some out: --set data.overrides.validation=N",
    ),
    ("base.start.from={place}/file", "{place}/file holds no plain weights"),
    ("base.start={from: '{place}/run/best', weights: raw}", "an export holds the averaged"),
    ("base.start={from: '{place}/run', missing: fresh}", "they tell of search.model.hidden_size.values: [8]: give that"),
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


SWEEPS = [
    ((), "arguments are required: space; see python ray_jobs/sweep.py --help"),
    ((*NEW, *UNVALIDATED, "--dry-run"), "a sweep ranks its trials by validation puzzles"),
    ((*NEW, "--set", "base.evaluation.split=test"), "base.evaluation.split cannot be test in a sweep"),
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


def test_a_message_has_no_end_of_problems(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(word for number in range(20) for word in ("--set", f"key{number}=1"))
    assert_refused(place, capsys, "and 12 more; mend them and start again", "sweep", *NEW, *many)
