"""The description of a sweep's run in MLflow: its leaderboard, what the data support, and the command that goes on with it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trm.console.redaction import redacted, shortened
from trm.search.findings.confirmed import confirmation_notes
from trm.search.findings.tables import leaderboard_rows
from trm.search.state import SweepState
from trm.tracking.pages import Pages

ROWS = 10
COMPARED = 5
MOST_CHARACTERS = 4800
"""MLflow's description takes 5,000, or more."""
MOST_CELL = 140
CONFIRM = " --confirm 3 --resume"


def note_of(state: SweepState, pages: Pages, resume: str = "") -> str:
    """Markdown, a function of the state; `resume`: the command that goes on with the sweep."""
    rows = leaderboard_rows(state, ROWS)
    parts = [_headline(state, rows), "", *_links(rows, pages)]
    tail = ["", _plain(str(confirmation_notes(state)["sentence"])), *_next(state, resume), "", _where(state)]
    for count in range(len(rows), -1, -1):
        text = "\n".join([*parts, *_table(state, rows[:count], pages), *tail])
        if len(text) <= MOST_CHARACTERS:
            return text
    return text[:MOST_CHARACTERS]


def _headline(state: SweepState, rows: Sequence[Mapping[str, Any]]) -> str:
    """What is seen of it before a reader opens it."""
    metric = state.space.objective.metric
    trials = f"{len(state.searched)} trials, {state.spending.train_flops:.3g} training FLOPs"
    if state.confirmations:
        trials += f", {sum(map(len, state.confirmations.values()))} runs on fresh seeds"
    how = f"**Ended**: {_plain(state.ended.reason)}" if state.ended is not None else "**Under way**"
    return f"{_best(rows, metric)}{how}; {trials}"


def _best(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    if not rows:
        return "No trial has a score yet. "
    value, interval = _score(rows[0])
    return f"**Best: trial {rows[0]['trial']}**, {_plain(metric)} {value:.4f}{f' ({interval})' if interval else ''}. "


def _score(row: Mapping[str, Any]) -> tuple[float, str]:
    """A row's score, the mean over seeds where it is confirmed, and its interval in words."""
    confirmed = row["confirmed"]
    value, interval = (row["objective"], row["interval_95"]) if confirmed is None else (confirmed["mean"], confirmed["interval_95"])
    return value, "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _links(rows: Sequence[Mapping[str, Any]], pages: Pages) -> list[str]:
    links = [f"[all trials, best first]({pages.trials()})"] if pages.experiment else []
    compared = pages.compare([row["trial"] for row in rows[:COMPARED]])
    links += [f"[compare the best {min(COMPARED, len(rows))}]({compared})"] if compared is not None else []
    return [" · ".join(links), ""] if links else []


def _table(state: SweepState, rows: Sequence[Mapping[str, Any]], pages: Pages) -> list[str]:
    if not rows:
        return []
    metric = state.space.objective.metric
    has_seeds, has_test = any(row["confirmed"] for row in rows), any(row["test"] for row in rows)
    heads = ["rank", "trial", "status", metric, "95 % interval"]
    heads += (["seeds"] if has_seeds else []) + (["test"] if has_test else []) + ["FLOPs", "weights", "parameters"]
    lines = [_line([_cell(head) for head in heads]), _line(["---"] * len(heads))]
    for row in rows:
        confirmed, (value, interval) = row["confirmed"], _score(row)
        address = pages.run(row["trial"])
        cells = [str(row["rank"]), str(row["trial"]) if address is None else f"[{row['trial']}]({address})", _cell(row["status"])]
        cells += [f"{value:.4f}", interval]
        cells += [("" if confirmed is None else str(confirmed["seeds"]))] if has_seeds else []
        cells += [_number((row["test"] or {}).get(metric))] if has_test else []
        cells += [f"{row['train_flops']:.3g}", f"{row['params']:,}", _cell(_parameters(row["parameters"]))]
        lines.append(_line(cells))
    return lines


def _next(state: SweepState, resume: str) -> list[str]:
    if not (shown := _command(resume)):
        return []
    if state.ended is not None and not state.confirmations:
        what, shown = (
            "Next, is the best really the best? Its configuration on fresh seeds:",
            shown.removesuffix(" --resume") + CONFIRM,
        )
    else:
        what = "Go on with it:"
    if not {"'", '"'} & set(shown):  # a long line makes MLflow's whole page wide
        shown = shown.replace(" --", " \\\n  --")
    return ["", what, "", "```sh", shown, "```"]


def _where(state: SweepState) -> str:
    return (
        f"Sweep {_plain(state.name)}. Sort runs by the metric `rank`; the tags `trm.status` and `trm.reason` say how a trial ended."
    )


def _command(text: str) -> str:
    """The command, where it is one line of plain characters that ends as ours do."""
    shown = redacted(text.strip())
    return shown if shown.endswith(" --resume") and shown.isprintable() and "`" not in shown and len(shown) < 1000 else ""


def _parameters(params: Mapping[str, Any]) -> str:
    ends = [path.rpartition(".")[2] for path in params]
    names = [end if ends.count(end) == 1 else path for path, end in zip(params, ends, strict=True)]
    values = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in params.values()]
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _plain(shortened(redacted(text), MOST_CELL))


def _plain(text: str) -> str:
    """The text with nothing in it that Markdown or HTML would read, on one line.

    A secret goes before anything is cut or escaped: half of one, or one with strokes in it, would not be known again.
    """
    line = " ".join(redacted(text).split())
    return re.sub(r"([\\`*_{}\[\]<>|#!~])", r"\\\1", line)
