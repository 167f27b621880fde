"""An evaluation's page: its figures with intervals, what steps, forms, votes and settings bring, its speed, its claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from trm.pages.page import Section
from trm.tasks.metrics import shown

ENDS = ("low", "high")
ONE_TRAINING = "Intervals are over puzzles: what other puzzles would give, nothing of what another seed of the training would."


def evaluation_sections(report: Mapping[str, Any], claims: Sequence[Mapping[str, str]] = ()) -> list[Section]:
    """What a report says, section by section; `claims` are rows of its table of what others published."""
    found = [
        Section("values", "Scores", {"rows": metric_rows(report["metrics"], report["standard_errors"]), "lines": _lines(report)})
    ]
    if report.get("curve"):
        found.append(curve_section(report["curve"]))
    if report.get("forms"):
        found.append(_forms(report["forms"]))
    if report.get("front"):
        found.append(_front(report["front"]))
    if report.get("votes"):
        found += _votes(report["votes"])
    if report.get("identifiers"):
        found.append(Section("values", "Other identifiers", {"rows": _identifiers(report["identifiers"]), "lines": [_IDENTIFIERS]}))
    if report.get("speed"):
        found.append(Section("values", "Speed", {"pairs": _speed(report["speed"])}))
    if claims:
        found.append(Section("values", "Beside what others published", {"rows": [dict(row) for row in claims]}))
    return found


_IDENTIFIERS = "What is lost when the network is told another puzzle's identifier, another form's, none, or the mean of all."


def about(report: Mapping[str, Any]) -> str:
    """The evaluation in a line."""
    data = report["data"]
    puzzles = report.get("counts", {}).get("puzzles")
    counted = f" of {puzzles:,} puzzles" if puzzles else ""
    return f"{report['split']} split of {data['name']} ({data['task']}){counted}, {report['supervision_steps']} supervision steps"


def metric_rows(metrics: Mapping[str, Any], errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a metric: its value, its 95 % interval or its standard error."""
    rows = []
    for name, value in metrics.items():
        stem, _, end = name.rpartition("_")
        if end in ENDS and stem in metrics:
            continue
        row = {"metric": name, "value": shown(name, value)}
        if f"{name}_low" in metrics:
            row["95 % interval"] = " to ".join(shown(name, metrics[f"{name}_{one}"]) for one in ENDS)
        elif name in errors:
            row["standard error"] = shown(name, errors[name])
        rows.append(row)
    return rows


def details_section(report: Mapping[str, Any]) -> Section:
    """Weights, data, cost and versions."""
    data, environment = report["data"], report.get("environment", {})
    pairs: dict[str, Any] = {
        "weights": report["path"],
        "trained": f"step {report['step']}, {report['train_flops']:.3g} FLOPs" if report["step"] else "by another program",
        "weights digest": report["weights_digest"],
        "data set": f"{data['folder']} (content {data['content_hash'][:12]})",
        "FLOPs an answer": f"{report['inference_flops']:.3g}",
        "computed in": report["forward_dtype"],
        "stopped at the halt": "yes" if report["stops_halted"] else "no",
        "seconds": report.get("seconds"),
    }
    pairs |= {f"note {number}": note for number, note in enumerate(report.get("notes", []), 1)}
    pairs |= {name: value for name, value in environment.items() if value is not None}
    return Section("values", "How it was scored", {"pairs": [list(pair) for pair in pairs.items()]})


def _lines(report: Mapping[str, Any]) -> list[str]:
    lines = [ONE_TRAINING]
    if report["is_quick"]:
        lines.insert(0, "One batch alone (--quick): it shows that all works, and is no score.")
    own = report.get("config", {}).get("evaluation", {})
    if own.get("rollouts", 1) * own.get("forms", 1) > 1:
        lines.append(f"{own['rollouts']} rollouts (noise {own['noise']:g}) in {own['forms']} forms, chosen by {own['select']}.")
    return lines


def curves_together(curves: Mapping[str, Sequence[Mapping[str, Any]]], name: str = "exact_accuracy") -> Section:
    """One share of several evaluations against supervision steps, with their bands."""
    series = [
        {
            "name": side,
            "x": _of(curve, "step"),
            "y": [point["metrics"][name] for point in curve],
            "low": [point["bands"][name][0] for point in curve],
            "high": [point["bands"][name][1] for point in curve],
        }
        for side, curve in curves.items()
    ]
    plot = {"x": "supervision step", "y": name, "series": series}
    return Section("lines", "By supervision steps", {"plots": [plot]}, needs_charts=True)


def curve_section(curve: Sequence[Mapping[str, Any]]) -> Section:
    """Every share against supervision steps, with its band; and what stopping at the halt scores."""
    names = list(curve[0]["bands"])
    series = [
        {
            "name": name,
            "x": [point["step"] for point in curve],
            "y": [point["metrics"][name] for point in curve],
            "low": [point["bands"][name][0] for point in curve],
            "high": [point["bands"][name][1] for point in curve],
        }
        for name in names
    ]
    series.append({"name": "halted", "x": [point["step"] for point in curve], "y": [point["halted_share"] for point in curve]})
    rows = [
        {"step": point["step"], "FLOPs": point["inference_flops"], "halted": shown("exact_accuracy", point["halted_share"])}
        | {name: shown(name, point["metrics"][name]) for name in names}
        | _at_halt(point)
        for point in curve
    ]
    lines = ["One pass judged after every supervision step; bands are the bootstrap's 95 % over puzzles."]
    plot = {"x": "supervision step", "y": "share", "series": series}
    return Section("lines", "By supervision steps", {"plots": [plot], "rows": rows, "lines": lines}, needs_charts=True)


def _at_halt(point: Mapping[str, Any]) -> dict[str, Any]:
    if point.get("halted_inference_flops") is None:
        return {}
    score = shown("exact_accuracy", point["metrics"]["exact_accuracy_halted"])
    return {"stopped at the halt": score, "FLOPs then": point["halted_inference_flops"]}


def _forms(forms: Sequence[Mapping[str, Any]]) -> Section:
    plot = {
        "x": "symmetric forms asked",
        "y": "exact_accuracy",
        "log": True,
        "series": [{"name": "exact_accuracy", "x": _of(forms, "forms"), "y": _of(forms, "exact_accuracy"), **_ends(forms)}],
    }
    rows = [
        {
            "forms": point["forms"],
            "FLOPs": point["inference_flops"],
            "exact_accuracy": shown("exact_accuracy", point["exact_accuracy"]),
            "against one form": _difference(point["against_one"]),
        }
        for point in forms
    ]
    return Section("lines", "Symmetric forms", {"plots": [plot], "rows": rows}, needs_charts=True)


def _front(front: Mapping[str, Any]) -> Section:
    points = front["points"]
    named = ("steps", "forms", "rollouts", "noise", "select")
    kinds = {"settings": [one for one in points if not one["is_on_front"]], "front": [one for one in points if one["is_on_front"]]}
    series = [
        {"name": name, "x": _of(some, "inference_flops"), "y": _of(some, "exact_accuracy"), "points": True}
        | {"text": [", ".join(f"{key} {one[key]}" for key in named if key in one) for one in some]}
        for name, some in kinds.items()
        if some
    ]
    rows = [
        {key: one[key] for key in ("inference_flops", *named) if key in one}
        | {"exact_accuracy": shown("exact_accuracy", one["exact_accuracy"]), "against plain": _difference(one["against_plain"])}
        for one in kinds["front"]
    ]
    lines = [f"{front['note'][:1].upper()}{front['note'][1:]}.", f"Best: {front['best']['overrides']}"]
    plot = {"x": "FLOPs an answer", "y": "exact_accuracy", "log": True, "series": series}
    return Section("lines", "Front at test time", {"plots": [plot], "rows": rows, "lines": lines}, needs_charts=True)


def _votes(votes: Mapping[str, Any]) -> list[Section]:
    rows = [
        {"pass@": int(k)} | {way.replace("_", " "): _share(one[way]) for way in ("by_task", "by_pair")}
        for k, one in votes["pass"].items()
    ]
    told = f"{votes['tasks']:,} tasks, {votes['pairs']:,} test pairs, {votes['votes']:,} votes"
    told += f"; {votes['pairs_without_votes']:,} pairs without any."
    data: dict[str, Any] = {"rows": rows, "lines": [told]}
    if len(votes.get("curve", [])) < 2:
        return [Section("values", "Votes", data)]
    curve = votes["curve"]
    series = [
        {"name": f"pass@{k} by task", "x": [1 + point["augmentations"] for point in curve]}
        | {"y": [point["pass"][k]["by_task"]["share"] for point in curve]}
        | {end: [point["pass"][k]["by_task"][end] for point in curve] for end in ENDS}
        for k in ("1", "2")
    ]
    plot = {"x": "votes a pair", "y": "share of tasks", "log": True, "series": series}
    return [Section("lines", "Votes", data | {"plots": [plot]}, needs_charts=True)]


def _identifiers(arms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"identifiers": arm["identifiers"], "metric": name, "value": shown(name, arm["metrics"][name])}
        | {"against its own": _difference(one, name), "higher": one["higher"], "lower": one["lower"]}
        for arm in arms
        for name, one in arm["against_own"].items()
    ]


def _speed(speed: Mapping[str, Any]) -> list[list[Any]]:
    spread = speed["seconds_a_batch"]
    low, high = (1000 * value for value in spread["quartiles"])
    batch = f"{1000 * spread['median']:.4g} ms (quartiles {low:.4g} to {high:.4g})"
    pairs = {
        "rows a second": f"{speed['rows_a_second']:.4g}",
        "milliseconds a row": f"{speed['milliseconds_a_row']:.4g}",
        f"a batch of {speed['batch_rows']} rows": f"{batch}, median of {speed['batches']}",
        "FLOP/s": None if speed["flops_a_second"] is None else f"{speed['flops_a_second']:.3g}",
        "peak memory": f"{speed['peak_memory_bytes'] / 1e6:.0f} MB",
    }
    return [list(pair) for pair in pairs.items() if pair[1] is not None]


def _difference(one: Mapping[str, Any], name: str = "exact_accuracy") -> str:
    """A paired difference with its interval."""
    low, high = one["interval_95"]
    return f"{shown(name, one['difference'])} ({shown(name, low)} to {shown(name, high)})"


def _share(one: Mapping[str, Any]) -> str:
    share, low, high = (shown("exact_accuracy", one[name]) for name in ("share", *ENDS))
    return f"{share} ({low} to {high}) of {one['count']:,}"


def _of(points: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [point[name] for point in points]


def _ends(points: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {end: _of(points, end) for end in ENDS}
