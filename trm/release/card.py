"""The model card: a release's facts in words, Markdown. Every number in it stands in the facts."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trm.config.files import yaml_text
from trm.release.facts import HOUR, Facts
from trm.tasks.metrics import figure_named
from trm.terminal.display import count_text, flops

NAMES = {"sudoku": "Sudoku", "maze": "mazes", "arc": "ARC tasks"}


def card(facts: Facts) -> str:
    """The whole card."""
    parts = (_head, _scores, _data, _knobs, _seeds, _cost, _limits, _use, _versions)
    return "\n".join(line for part in parts for line in [*part(facts), ""])


def summary(facts: Facts) -> str:
    """What it is and how good, in one sentence."""
    network, objective = facts["network"], facts["objective"]["metric"]
    best = next((f"{objective} {_score(scores, objective)} on {name}" for name, scores in _scored(facts)), "not scored")
    weights = count_text(network["params_count"])
    return f"A {network['architecture']} of {weights} weights for {puzzles(facts)}: {best}."


def puzzles(facts: Facts) -> str:
    """What it answers: `Sudoku of 9 x 9 cells`."""
    height, width = facts["task"]["grid"]
    return f"{NAMES.get(facts['task']['name'], facts['task']['name'])} of {height} x {width} cells"


def _head(facts: Facts) -> Iterator[str]:
    yield f"# {facts['name']}"
    yield ""
    yield summary(facts)
    how = _HOW.get((facts["cost"]["retrained"] or {}).get("how", ""), "")
    scores = facts["scores"]
    run = "" if scores["run"] == scores["trial"] else f", with the weights of its confirmation run {scores['run']}"
    yield f"The winner of the search `{facts['sweep']}` by TRM Search: trial {scores['trial']}{run}{how}."


_HOW = {
    "full": ", whose configuration was then trained anew at full length",
    "all": ", whose configuration was then trained anew on training and validation puzzles together",
}


def _scored(facts: Facts) -> Iterator[tuple[str, Facts]]:
    scores = facts["scores"]
    yield from ((name, scores[name]) for name in ("test", "validation") if scores[name])


def _score(scores: Facts, metric: str) -> str:
    if metric not in scores:
        return "not scored"
    low, high = scores.get(f"{metric}_low"), scores.get(f"{metric}_high")
    interval = "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
    return f"{scores[metric]:.4f}{interval}"


def _scores(facts: Facts) -> Iterator[str]:
    metric, scores = facts["objective"]["metric"], facts["scores"]
    yield "## Scores"
    yield ""
    metrics = [name for name in dict.fromkeys((metric, "exact_accuracy", "cell_accuracy", "loss")) if _has(facts, name)]
    rows = [
        (name, f"{int(found['examples']):,}" if "examples" in found else "", *(_score(found, one) for one in metrics))
        for name, found in _scored(facts)
    ]
    yield from _table(("split", "puzzles", *metrics), rows)
    yield ""
    yield "In brackets 95 % intervals over puzzles."
    yield from _what_they_count(facts)
    yield from _as_it_answers(facts)
    if (confirmed := scores["confirmed"]) is not None:
        low, high = confirmed["interval_95"] or (None, None)
        interval = "" if low is None else f" ({low:.4f} to {high:.4f})"
        yield ""
        yield f"Over {confirmed['seeds']} seeds of this configuration the mean of {metric} on validation is"
        yield f"{confirmed['mean']:.4f}{interval}: what another seed will give. The probability that it is the best of"
        yield f"the candidates, P(best), is {confirmed['p_best']:.2f}."
    yield ""
    yield f"Is it the best? {_sentence(scores['sentence'])}"
    if scores["weights"] and scores["search"] is None:
        yield _sentence(scores["weights"])


def _has(facts: Facts, metric: str) -> bool:
    return any(metric in scores for _, scores in _scored(facts))


def _what_they_count(facts: Facts) -> Iterator[str]:
    scores, how = facts["scores"], (facts["cost"]["retrained"] or {}).get("how")
    if how is None:
        yield "Validation chose this network among the search's trials, so its validation score is a selected one;"
        others = scores["winners_tested"] - 1
        also = (
            f"; the sweep had {others} other winner{'s' if others > 1 else ''} before, which were tested too" if others > 0 else ""
        )
        yield f"test was looked at once, after the choice{also}."
        return
    search = scores["search"]
    metric = facts["objective"]["metric"]
    if how == "all":
        yield "Nothing was chosen by a score: validation puzzles were trained on; test was looked at once, after the last step."
    else:
        yield "The best of its evaluations on validation is what is released, so that score is a selected one;"
        yield "test was looked at once, afterwards."
    told = [f"{_score(search[name], metric)} on {name}" for name in ("test", "validation") if search[name]]
    if told:
        yield f"The search's own winner, which it was trained after, came to {metric} {' and '.join(told)}."


def _as_it_answers(facts: Facts) -> Iterator[str]:
    if (look := facts["scores"]["at_test_time"]) is None:
        return
    setting = ", ".join(f"{name} {value}" for name, value in look["evaluation"].items())
    metric = figure_named(look.get("metric", "exact_accuracy")).of_any_steps.name
    told = [f"{_score(look[name], metric)} on {name}" for name in ("test", "validation") if look[name]]
    yield ""
    yield "These are of the plain answer. `serve`, `evaluate` and `predict` answer by the setting that was chosen on validation,"
    yield f"{setting}: {metric} {' and '.join(told)}."


def _data(facts: Facts) -> Iterator[str]:
    data = facts["data"]
    yield "## Data"
    yield ""
    counts = ", ".join(f"{count:,} {name}" for name, count in data["splits"].items())
    yield f"- **Data set**: {data['name']}, {puzzles(facts)}: {counts} examples"
    yield f"- **Source**: {data['source']}"
    yield f"- **Licence of the data**: {data['licence']}"
    yield f"- **How to cite**: {data['cite']}"
    yield f"- **Content hash**: `{data['content_hash']}`"
    if data["has_card"]:
        yield ""
        yield "`data_card.md` is the data set's own card, `dataset.json` its manifest."


def _knobs(facts: Facts) -> Iterator[str]:
    yield "## Configuration"
    yield ""
    yield "Searched, with the range of each:"
    yield ""
    rows = [(f"`{knob['path']}`", _value(knob), knob["range"]) for knob in facts["knobs"]]
    yield from _table(("knob", "value", "range"), rows)
    yield ""
    yield "<details><summary>All of it (<code>config.yaml</code>)</summary>"
    yield ""
    yield "```yaml"
    yield yaml_text(facts["config"]).rstrip()
    yield "```"
    yield ""
    yield "</details>"


def _value(knob: Facts) -> str:
    if not knob["is_active"]:
        return "not in use"
    value = knob["value"]
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _seeds(facts: Facts) -> Iterator[str]:
    seeds = facts["seeds"]
    yield "## Seeds"
    yield ""
    yield f"Sweep {seeds['sweep']}; the search's trial {seeds['search']['seed']}; what is released {seeds['released']}."
    if seeds["confirmation"]:
        told = ", ".join(f"{one['seed']} (run {one['trial']})" for one in seeds["confirmation"])
        yield f"Fresh seeds of confirmation: {told}."


def _cost(facts: Facts) -> Iterator[str]:
    cost, network = facts["cost"], facts["network"]
    own, sweep = cost["released"], cost["sweep"]
    yield "## Cost"
    yield ""
    yield f"- **This network**: {flops(own['train_flops'])} of training in {own['steps']:,} steps"
    yield f"- **An answer**: {flops(network['inference_flops'])}, {network['steps']} supervision steps"
    trials = ", ".join(f"{count} {status}" for status, count in sweep["trials"].items())
    runs = ", ".join(f"{count} {status}" for status, count in sweep["confirmations"].items())
    yield f"- **The search**: {sum(sweep['trials'].values())} trials ({trials}){f' and fresh seeds ({runs})' if runs else ''}"
    hours = f"{sweep['worker_hours']:.2f} hours of workers, {sweep['wall_clock_hours']:.2f} hours by the clock"
    yield f"- **In all**: {flops(sweep['train_flops'])} of training, {hours}, {sweep['gpu_hours']:.2f} GPU-hours"
    yield "- **Energy**: not measured"
    if (run := cost["retrained"]) is not None:
        seconds = sum(run["seconds"].values())
        yield f"- **Trained anew**: {seconds / HOUR:.2f} hours of one process since it last started, besides the search's cost"


def _limits(facts: Facts) -> Iterator[str]:
    task, network = facts["task"], facts["network"]
    height, width = task["grid"]
    yield "## Limits"
    yield ""
    size = f"at most {height} x {width}" if task["name"] == "arc" else f"exactly {height} x {width}"
    tokens = ", ".join(f"`{name}`" for name in task["vocabulary"])
    yield f"- It takes {NAMES.get(task['name'], task['name'])} of {size} cells and these tokens: {tokens}."
    yield "- Its answers are guesses: nothing forces them to keep the puzzle's rules. Check them (`valid` of an answer does),"
    yield "  above all of puzzles unlike its data."
    scored = next(iter(_scored(facts)), None)
    if scored is not None and "exact_accuracy" in scored[1]:
        failed = 1 - scored[1]["exact_accuracy"]
        yield f"- Of the {scored[0]} puzzles it fails {failed:.2%}. On puzzles from another source it may fail more."
    if network["has_table"] and task["identifiers"] > 1:
        yield (
            f"- It knows {task['identifiers'] - 1:,} puzzle identifiers, each with a row of its embedding. "
            "A puzzle without a row gets the mean of all, and is then hardly solved."
        )
    if modules := facts["config"]["imports"]:
        named = ",".join(modules)
        yield f"- It needs modules of its authors that are not here, `{named}`: with them on the path, set `TRM_IMPORTS={named}`."
    yield f"- Scores are of one set of weights{'' if facts['scores']['confirmed'] else ' and one seed'}."


def _use(facts: Facts) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "With the wheel of trm-search alone, from the folder that holds this card:"
    yield ""
    yield "```sh"
    yield "trm-search serve .      # a server with a playground"
    yield "trm-search evaluate .   # score it, where its data are"
    yield "```"
    yield ""
    yield "Registered in MLflow (`MLFLOW_TRACKING_URI` names the store):"
    yield ""
    yield "```python"
    yield "import json, mlflow, numpy"
    yield ""
    yield f'model = mlflow.pyfunc.load_model("models:/{facts["name"]}@champion")'
    cells = facts["task"]["grid"][0] * facts["task"]["grid"][1]
    yield 'rows = numpy.array([one["tokens"] for one in json.load(open("examples.json"))["examples"]])'
    yield f"answers = model.predict(rows)  # (puzzles, {cells}) whole numbers, a row of tokens a puzzle; an array, no list of lists"
    yield "```"
    yield ""
    yield "Or by MLflow's own server, which is asked in JSON, lists for arrays:"
    yield ""
    yield "```sh"
    yield f"mlflow models serve -m models:/{facts['name']}@champion --env-manager local --host 127.0.0.1 --port 5001 &"
    yield "python - <<'END' > question.json"
    yield "import json"
    yield 'rows = [one["tokens"] for one in json.load(open("examples.json"))["examples"]]'
    yield f'print(json.dumps({{"inputs": rows, "params": {{"steps": {facts["network"]["steps"]}}}}}))'
    yield "END"
    yield "curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d @question.json"
    yield "```"
    yield ""
    words = ", ".join(f"{number} `{name}`" for number, name in enumerate(facts["task"]["vocabulary"]))
    yield f"Tokens by number: {words}."


def _versions(facts: Facts) -> Iterator[str]:
    versions = facts["versions"]
    released, sweep = versions["released"], versions["sweep"]
    yield "## Versions"
    yield ""
    commit = f", commit `{released['commit']}`" if released["commit"] else ""
    yield f"Released {facts['released_at']} by trm-search {released['trm-search']}{commit}."
    if sweep:
        yield f"Searched with {', '.join(f'{name} {version}' for name, version in sweep.items())}."
    yield ""
    yield from _table(("file", "SHA-256"), [(f"`{name}`", f"`{digest}`") for name, digest in facts["digests"].items()])


def _sentence(text: Any) -> str:
    told = str(text)
    return f"{told[:1].upper()}{told[1:]}."


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
