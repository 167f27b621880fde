"""A forecast on a terminal, or as plain text where it is piped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trm.search.knobs.knobs import ChoiceKnob, IntKnob, Knob
from trm.search.planning.forecast import Forecast, rung_seconds
from trm.search.resources.memory import size_text
from trm.search.settings import Objective
from trm.search.space.candidates import Facts
from trm.search.space.space import SearchSpace
from trm.terminal.display import PLAIN_WIDTH, PlainConsole, amount_text, count_text, duration, flops, params_text

WIDE_SPREAD = 16.0
"""Times that the dearest step may cost the cheapest before a space wants a constraint."""


@dataclass(frozen=True)
class Circumstances:
    """Where the sweep would run."""

    data: Sequence[str]
    """Each data set in a line, and where its numbers come from."""
    slots: int
    """Trials side by side."""
    device_bytes: int | None
    """Memory that a worker may use; null: unknown."""
    speed_origin: str
    """Where the speeds come from."""
    scored: str
    """What a rung is scored on."""
    carried: Sequence[str] = ()
    """What earlier sweeps would bring, in lines."""


def print_forecast(space: SearchSpace, seen: Forecast, facts: Facts, circumstances: Circumstances) -> None:
    """Prints all of it."""
    console = PlainConsole()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(Text(f"{space.name}: a dry run. Nothing is started, nothing is written.", style="bold"))
    for part in _parts(space, seen, facts, circumstances):
        console.print()
        console.print(part)


def _objective(objective: Objective) -> str:
    against = ", ".join(f"{one.metric} ({one.mode})" for one in objective.against)
    wanted = f"; where {' and '.join(objective.outcome_constraints)}" if objective.outcome_constraints else ""
    return f"{objective.metric}, {objective.mode}" + (f"; weighed against {against}" if against else "") + wanted


def _parts(space: SearchSpace, seen: Forecast, facts: Facts, circumstances: Circumstances) -> Iterable[RenderableType]:
    yield _lines(
        *(("data", text) for text in circumstances.data),
        ("objective", _objective(space.objective)),
        ("sampler", _settings(space.sampler)),
        ("scheduler", _settings(space.scheduler)),
        ("scored on", circumstances.scored),
        ("speed", circumstances.speed_origin),
    )
    if circumstances.carried:
        yield Text("\n".join(circumstances.carried))
    yield _knobs(space)
    yield _samples(seen, facts)
    yield _rungs(space, seen, facts)
    yield Text(_spread(seen))
    if found := seen.preflight.notes:
        yield Text("\n".join(found))
    yield _rejected(seen)
    yield _expected(space, seen, facts, circumstances)


def _knobs(space: SearchSpace) -> RenderableType:
    table = _table(left=("knob", "values", *(["prior"] if space.believed else []), "only when"))
    for path, knob in space.search.items():
        conditions = ", ".join(f"{other} = {_value(wanted)}" for other, wanted in knob.when.items())
        table.add_row(path, _values(knob), *([_prior(knob)] if space.believed else []), conditions)
    for rule in space.constraints:
        table.add_row("constraint", rule)
    return _titled("Space", table)


def _prior(knob: Knob) -> str:
    return "" if knob.prior is None else f"{_value(knob.prior.at)}, {knob.prior.confidence} confidence"


def _samples(seen: Forecast, facts: Facts) -> RenderableType:
    table = _table(
        right=("params", "a step", "steps", "memory", "checkpoint", "time"),
        left=("configuration",),
    )
    for one in seen.samples:
        table.add_row(
            count_text(one.params_count),
            flops(one.step_flops),
            str(one.max_steps),
            size_text(one.memory_bytes),
            size_text(one.checkpoint_bytes),
            _time(rung_seconds(one, facts.speeds)[-1]),
            params_text(one.params | one.used),
        )
    return _titled(f"{len(seen.samples)} configurations, those that it begins with first", table)


def _rungs(space: SearchSpace, seen: Forecast, facts: Facts) -> RenderableType:
    cheapest, dearest = seen.preflight.cheapest, seen.preflight.dearest
    ends = [(one, rung_seconds(one, facts.speeds)) for one in (cheapest, dearest)]
    table = _table(right=("rung", "a trial", "trials", "steps of the cheapest", "its time", "steps of the dearest", "its time"))
    for index, (amount, trials) in enumerate(zip(seen.preflight.rung_amounts, seen.expected.scored, strict=True)):
        columns = [(str(one.rung_steps[index]), _time(seconds[index])) for one, seconds in ends]
        table.add_row(str(index), amount_text(amount, space.fidelity), f"{round(trials, 1):g}", *columns[0], *columns[1])
    return _titled("Rungs", table)


def _spread(seen: Forecast) -> str:
    found = seen.preflight
    ends = f"{flops(found.cheapest.step_flops)} to {flops(found.dearest.step_flops)}"
    cheapest, dearest = (params_text(one.params | one.used) for one in (found.cheapest, found.dearest))
    text = f"A step costs {ends}, {found.spread:.3g} times as much.\n  cheapest: {cheapest}\n  dearest: {dearest}"
    if found.spread <= WIDE_SPREAD:
        return text
    least = found.dearest.step_flops / WIDE_SPREAD / 1e9
    return (
        f"{text}\nBeyond about {WIDE_SPREAD:g} times the dearest are hardly trained where the cheapest are done: "
        f"a constraint such as `step_gflops >= {least:.2g}` keeps them comparable."
    )


def _rejected(seen: Forecast) -> RenderableType:
    if not seen.rejected:
        return Text(f"None of {seen.drawn} random draws is turned down.")
    share = 1 - seen.accepted / seen.drawn
    table = _table(right=("share",), left=("rule",))
    for rule, times in sorted(seen.rejected.items(), key=lambda pair: -pair[1]):
        table.add_row(f"{times / seen.drawn:.1%}", rule)
    return _titled(f"{share:.0%} of {seen.drawn} random draws are turned down", table)


def _expected(space: SearchSpace, seen: Forecast, facts: Facts, circumstances: Circumstances) -> RenderableType:
    spent, slots = seen.expected, circumstances.slots
    free = "" if facts.disk_bytes is None else f", {size_text(facts.disk_bytes)} are free"
    if facts.disk_bytes is not None and spent.disk_bytes > facts.disk_bytes:
        free += "; set keep.best or keep.bytes, or give another --storage"
    time = "unknown" if spent.wall_seconds is None else f"about {_time(spent.wall_seconds)}, {slots} side by side"
    if spent.leg_seconds is not None:
        time += f" ({_time(spent.leg_seconds)} of trials)"
    rows = [
        ("trials", f"{spent.trials}, ended by {seen.ends_by}"),
        ("compute", f"{flops(spent.train_flops)} of training ({' to '.join(map(flops, spent.train_flops_range))})"),
        ("time", time),
        ("disk", f"{size_text(spent.disk_bytes)} of checkpoints at most, {size_text(seen.kept_bytes)} at the end{free}"),
    ]
    if spent.gpu_hours is not None:
        rows.insert(3, ("GPU-hours", f"{spent.gpu_hours:.3g}"))
    if circumstances.device_bytes is not None:
        rows.append(("memory", f"{size_text(circumstances.device_bytes)} for a worker"))
    return _titled("The whole sweep, if nothing fails", _lines(*rows))


def _titled(title: str, table: Table) -> RenderableType:
    return Group(Text(title, style="bold"), table)


def _table(*, right: Sequence[str] = (), left: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _lines(*rows: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    return table


def _settings(choice: Any) -> str:
    values = choice.model_dump()
    shown = ", ".join(f"{name} {value}" for name, value in values.items() if name != "type" and value is not None)
    return f"{values['type']} ({shown})" if shown else values["type"]


def _values(knob: Knob) -> str:
    if isinstance(knob, ChoiceKnob):
        return _value(list(knob.values))
    step = f", step {knob.step}" if isinstance(knob, IntKnob) and knob.step != 1 else ""
    return f"{knob.low:g} to {knob.high:g}{', log' if knob.log else ''}{step}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(one) for one in value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)
