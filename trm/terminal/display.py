"""A sweep on a terminal: a live picture where somebody watches, one line an event where a file or a job's log does."""

import io
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from trm.console.lines import formed, is_json, keep, time_of_day
from trm.console.streams import one_line, printable
from trm.search.findings.status import Leader
from trm.search.journal.events import (
    Adopted,
    Asked,
    Decided,
    Event,
    LegEnded,
    LegWidened,
    PlaceAwaited,
    Reported,
    SweepEnded,
    TestTimePassed,
)
from trm.search.knobs.constraint_names import short_name
from trm.tasks.metrics import direction
from trm.terminal.facts import event_facts, status_facts
from trm.terminal.progress import RunningLeg, Snapshot

STATUS_SECONDS = 30.0
"""A log gets a line on the whole sweep at most so often."""
REFRESH_SECONDS = 0.25
STATUS_ORDER = ("running", "paused", "finished", "stopped", "diverged", "out_of_memory", "failed")
WHOLE_LENGTH = 6
"""Characters of a number that is shown with all its digits."""
PLAIN_WIDTH = 160
SHOWN_LEGS = 24
"""Running legs that are shown one by one; of a thousand nobody reads each."""


@dataclass(frozen=True)
class LeaderRow:
    """One line of the final leaderboard."""

    rank: int
    trial: int
    status: str
    objective: float | None
    low: float | None
    """Lower end of the objective's 95 % interval."""
    high: float | None
    """Upper end of the objective's 95 % interval."""
    test: float | None
    """The objective's metric on the test split; null unless it was reported."""
    params: Mapping[str, Any]
    train_flops: float
    params_count: int
    against: Mapping[str, float | None] = field(default_factory=dict)
    """What the objective is weighed against."""
    front: int | None = None
    """Pareto front that the trial stands in, from 1; null: there is one objective."""
    seeds: int | None = None
    """Seeds that `objective` is the mean of, with its interval; null: it is the search's own score, of one seed."""
    p_best: float | None = None
    """Probability of being the best of those that were confirmed."""


class PlainConsole(Console):
    """A console for words that come from files: what is no style of our own is shown as it stands, and no terminal obeys it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Segments of text, without what a terminal would obey."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class SweepDisplay:
    """Shows a sweep on `stream` (standard error): live when that is a terminal, else as a log. Use it as a context manager."""

    def __init__(
        self, name: str, metric: str, *, trials: int | None, stream: IO[str] | None = None, is_live: bool | None = None
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._name, self._metric, self._trials = name, metric, trials
        self._is_live = not is_json() and (stream.isatty() if is_live is None else is_live)
        self._console = PlainConsole(file=stream, force_terminal=self._is_live or None)
        if not self._is_live:
            self._console.width = PLAIN_WIDTH
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._started = time.monotonic()
        self._last_shown = -math.inf

    def __enter__(self) -> "SweepDisplay":
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_live:
            self._live.stop()

    @property
    def is_due(self) -> bool:
        """Whether `show` would do something now, so that a caller need not gather a snapshot in vain."""
        return time.monotonic() - self._last_shown >= (REFRESH_SECONDS if self._is_live else STATUS_SECONDS)

    def show(self, snapshot: Snapshot) -> None:
        """Show the whole sweep; more often than it is due, nothing happens."""
        if not self.is_due:
            return
        self._last_shown = time.monotonic()
        if self._is_live:
            self._live.update(self._picture(snapshot), refresh=True)
        else:
            self._line(self._status_line(snapshot), status_facts(snapshot))

    def event(self, event: Event) -> None:
        """Say what happened, if a person would want to know it."""
        if (text := event_line(event, self._metric)) is not None:
            self._line(text, event_facts(event))

    def message(self, text: str) -> None:
        """Say something, above the live picture."""
        self._line(text)

    def summary(self, rows: Sequence[LeaderRow], findings: Sequence[str], commands: Sequence[tuple[str, str]]) -> None:
        """The leaderboard, what else was found, and the commands to type next as (what for, command)."""
        if self._is_live:
            self._live.stop()
        parts: list[RenderableType] = [leaderboard(rows, self._metric) if rows else Text("No trial has a result.")]
        parts += [Text(finding) for finding in findings]
        for purpose, command in commands:
            parts += [Text(f"{purpose}:"), Text(f"  {command}", style="bold")]
        with io.StringIO() as paper:
            _print_all(PlainConsole(file=paper, width=PLAIN_WIDTH), parts)
            keep(f"what it came to\n{paper.getvalue()}")
        if not is_json():
            _print_all(self._console, parts)
            return
        facts = {"leaderboard": [asdict(row) for row in rows], "findings": findings, "next": [command for _, command in commands]}
        self._print(formed("what it came to", {"event": "summary", "sweep": self._name, **facts}))

    def _line(self, text: str, facts: Mapping[str, Any] | None = None) -> None:
        text = one_line(text)
        keep(text)
        if is_json():
            self._print(formed(text, {"sweep": self._name, **(facts or {})}))
            return
        since = duration(time.monotonic() - self._started)
        self._print(f"{since:>8}  {text}" if self._is_live else f"{time_of_day()} {since}  {text}")

    def _print(self, text: str) -> None:
        if self._is_live:
            self._console.print(Text(text), soft_wrap=True)
        else:  # rich would think a while about a text without a style
            self._console.file.write(f"{printable(text)}\n")
            self._console.file.flush()

    def _status_line(self, snapshot: Snapshot) -> str:
        parts = [self._counts(snapshot), self._spent(snapshot)]
        if snapshot.best is not None:
            parts.append(f"best {best_text(snapshot.best, self._metric)}")
        parts += [snapshot.waiting] if snapshot.waiting is not None else [leg_text(leg) for leg in snapshot.legs[:SHOWN_LEGS]]
        return " | ".join([*parts, *_not_shown(snapshot)])

    def _counts(self, snapshot: Snapshot) -> str:
        of = f" of {self._trials}" if self._trials else ""
        counts = [f"{count} {status.replace('_', ' ')}" for status in STATUS_ORDER if (count := snapshot.statuses.get(status))]
        trials = f"{snapshot.asked}{of} trials" + (f": {', '.join(counts)}" if counts else "")
        done, all_of_them = snapshot.confirmations.get("finished", 0), sum(snapshot.confirmations.values())
        return f"{trials}; {done} of {all_of_them} confirmations" if all_of_them else trials

    @staticmethod
    def _spent(snapshot: Snapshot) -> str:
        of = f" of about {flops(snapshot.flops_expected)}" if snapshot.flops_expected else ""
        left = f", about {duration(snapshot.left_seconds)} left" if snapshot.left_seconds is not None else ""
        return f"{flops(snapshot.flops_spent)}{of} spent{left}"

    def _picture(self, snapshot: Snapshot) -> RenderableType:
        expected = snapshot.flops_expected or 0.0
        bar = ProgressBar(total=max(expected, 1.0), completed=min(snapshot.flops_spent, expected), width=40)
        head = Table.grid(padding=(0, 2))
        head.add_row(Text(self._name, style="bold"), Text(self._counts(snapshot)))
        head.add_row(Text("compute"), Text(self._spent(snapshot)))
        head.add_row(Text("elapsed"), Text(duration(time.monotonic() - self._started)))
        best = Text("no result yet", style="dim")
        if snapshot.best is not None:
            best = Text(best_text(snapshot.best, self._metric), style="green")
        head.add_row(Text("best"), best)
        parts: list[RenderableType] = [head, bar, Text(), self._rungs(snapshot), Text()]
        if snapshot.waiting is not None:
            parts.append(Text(snapshot.waiting, style="yellow"))
        legs = [self._leg(leg) for leg in snapshot.legs[:SHOWN_LEGS]]
        return Group(*parts, *legs, *map(Text, _not_shown(snapshot)))

    def _rungs(self, snapshot: Snapshot) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("rung", "a trial", "running", "reached", "best"):
            table.add_column(name, justify="right")
        for index, rung in enumerate(snapshot.rungs):
            best = "" if rung.best is None else f"{rung.best:.4f}"
            table.add_row(
                str(index), amount_text(rung.amount, snapshot.fidelity), str(rung.running or ""), str(rung.completed or ""), best
            )
        return table

    @staticmethod
    def _leg(leg: RunningLeg) -> RenderableType:
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(leg.until_steps, 1), completed=leg.step, width=24)
        line.add_row(Text(f"trial {leg.trial:<4} to rung {leg.rung}"), bar, Text(leg_text(leg).split(": ", 1)[1]))
        return line


def _print_all(console: Console, parts: Sequence[RenderableType]) -> None:
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def _not_shown(snapshot: Snapshot) -> list[str]:
    """What is said of running legs beyond those that are shown."""
    more = len(snapshot.legs) - SHOWN_LEGS
    return [f"{more} legs more"] if more > 0 and snapshot.waiting is None else []


def event_line(event: Event, metric: str) -> str | None:
    """One line on an event, or None when it says nothing new to a person."""
    match event:
        case Asked(source="confirmation"):
            return f"trial {event.trial} confirms trial {event.confirms} on a fresh seed"
        case Asked():
            return f"trial {event.trial} ({event.source.replace('_', ' ')}): {params_text(event.shown_params)}"
        case LegWidened():
            return f"trial {event.trial} saves and goes on with {event.slots * event.spare.workers} workers, on slots that idle"
        case LegEnded(status="yielded"):
            return None
        case LegEnded(status="completed"):
            value = "no result" if event.objective is None else interval(event.objective, event.standard_error)
            loss = "" if event.loss is None else f", loss {event.loss:.4g}"
            seconds = event.train_seconds + event.eval_seconds
            return f"trial {event.trial} reached rung {event.rung}: {metric} {value}{loss}, step {event.steps}, {seconds:.1f} s"
        case LegEnded():
            where = "" if event.node is None else f" on {event.node}"
            became = f"{event.status.replace('_', ' ')} at step {event.steps}{where}"
            return f"trial {event.trial} {became}: {event.error or 'no reason known'}"
        case Decided(is_early=True, status="running"):
            return f"trial {event.trial} goes on from rung {event.rung} as {event.reason}"
        case Decided(status="stopped"):  # what else is decided, the leg's own line has told
            return f"trial {event.trial} stopped at rung {event.rung}: {event.reason}"
        case Adopted():
            return f"trial {event.trial} goes on from trial {event.source} at rung {event.rung}: {params_text(event.params)}"
        case Reported():
            scores = [
                f"{split} {getattr(event, split)[metric]:.4f}"
                for split in ("validation", "test")
                if metric in getattr(event, split)
            ]
            return f"trial {event.trial}, rank {event.rank}: {metric} {', '.join(scores)}"
        case TestTimePassed():
            return _passed_text(event)
        case PlaceAwaited():
            return "legs can run again" if event.what is None else event.what
        case SweepEnded():
            return f"the sweep ended: {event.reason}"
        case _:
            return None


def _passed_text(event: TestTimePassed) -> str:
    """What a pass at test time came to, by the metric that settings are judged by."""
    sign = -1 if event.metric is not None and direction(event.metric) == "min" else 1
    best = max(event.points, key=lambda one: sign * one.score, default=event.plain)
    forms = f", {event.forms} forms" if event.forms > 1 else ""
    how = f"noise {event.noise:g}, starts {event.starts}{forms}: {len(event.points)} settings in {event.seconds:.1f} s"
    told = f"best {best.score:.4f} at {best.steps} steps x {best.forms * best.rollouts}"
    return f"trial {event.trial} at test time, {how}, {told} (plain {event.plain.score:.4f})"


def leaderboard(rows: Sequence[LeaderRow], metric: str) -> Table:
    """The best trials as a table; with several objectives their fronts, of which the first is bold, and all that is weighed."""
    has_fronts = any(row.front is not None for row in rows)
    against = [name for name in (rows[0].against if rows else ()) if name not in ("params", "train_flops")]
    title = "Leaderboard, front by front" if has_fronts else "Leaderboard"
    table = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for name in ("rank", "trial", *(["front"] if has_fronts else [])):
        table.add_column(name, justify="right")
    table.add_column("status")
    confirmed = ("seeds", "P(best)") if any(row.seeds is not None for row in rows) else ()
    for name in (metric, "95 % interval", *confirmed, "test", "compute", "weights", *against):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    for row in rows:
        table.add_row(
            str(row.rank),
            str(row.trial),
            *([str(row.front)] if has_fronts else []),
            row.status.replace("_", " "),
            "" if row.objective is None else f"{row.objective:.4f}",
            "" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}",
            *_confirmed_cells(row, len(confirmed)),
            "" if row.test is None else f"{row.test:.4f}",
            flops(row.train_flops),
            count_text(row.params_count),
            *(figure_text(name, row.against[name]) for name in against),
            params_text(row.params),
            style="green" if row.rank == 1 else "bold" if row.front == 1 else "",
        )
    return table


def _confirmed_cells(row: LeaderRow, count: int) -> list[str]:
    cells = ["1 (search)" if row.seeds is None else str(row.seeds), "" if row.p_best is None else f"{row.p_best:.2f}"]
    return cells[:count]


def best_text(best: Leader, metric: str) -> str:
    """The best trial on one line."""
    value = interval(best.objective, best.standard_error) + seeds_text(best) + breaks_text(best)
    return f"{metric} {value} (trial {best.trial}, rung {best.rung}: {params_text(best.params)})"


def seeds_text(best: Leader) -> str:
    """What its score is the mean of, where it is confirmed."""
    return "" if best.seeds is None else f", mean of {best.seeds}{' fresh' * best.is_fresh} seed{'' if best.seeds == 1 else 's'}"


def breaks_text(best: Leader) -> str:
    """The outcome constraints that it breaks, if any."""
    return f", breaks {' and '.join(best.breaks)}" if best.breaks else ""


def leg_text(leg: RunningLeg) -> str:
    """A running leg on one line."""
    speed = f", {leg.steps_per_second:.1f} steps/s" if leg.steps_per_second else ""
    loss = f", loss {leg.loss:.4g}" if math.isfinite(leg.loss) else ""
    scoring = f", scoring: {leg.evaluated} batches so far" if leg.evaluated else ""
    return f"trial {leg.trial}: {leg.step}/{leg.until_steps}{loss}{scoring or speed}"


def params_text(params: Mapping[str, Any]) -> str:
    """Parameters by the names that constraints use: their last words, with the section where these alone say too little."""
    return ", ".join(f"{short_name(path)} {_param_text(value)}" for path, value in params.items())


def _param_text(value: Any) -> str:
    """A float to three digits, or whole where that is short: 0.9999 is not 1; null as it is written."""
    if value is None:
        return "null"
    return f"{value:.3g}" if isinstance(value, float) and len(str(value)) > WHOLE_LENGTH else str(value)


def interval(value: float, standard_error: float | None) -> str:
    """A value with its standard error."""
    return f"{value:.4f}" + ("" if standard_error is None else f" ± {standard_error:.4f}")


def duration(seconds: float) -> str:
    """Seconds as 1:02:03, or 2:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def flops(value: float) -> str:
    """FLOPs with three digits and the unit that fits."""
    for power, unit in ((18, "EFLOP"), (15, "PFLOP"), (12, "TFLOP"), (9, "GFLOP"), (6, "MFLOP")):
        if value >= 10**power * 0.9995:
            return f"{value / 10**power:.3g} {unit}"
    return f"{value:.3g} FLOP"


def amount_text(amount: float, fidelity: str) -> str:
    """An amount of what trials are counted in: 1 TFLOP, 300 steps, 5:00."""
    match fidelity:
        case "train_flops":
            return flops(amount)
        case "seconds":
            return duration(amount)
        case _:
            return f"{amount:.4g} {fidelity}"


def figure_text(name: str, value: float | None) -> str:
    """What an objective is weighed against, in the unit that fits."""
    if value is None:
        return ""
    match name:
        case "inference_flops" | "train_flops":
            return flops(value)
        case "params":
            return count_text(round(value))
        case "latency_seconds":
            return f"{1000 * value:.3g} ms"
        case _:
            return f"{value:.4g}"


def count_text(count: int) -> str:
    """A count of weights: 132k, 5.02M."""
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g}{unit}"
    return str(count)
