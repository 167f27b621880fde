"""What a network answers: the supervision steps of a batch, to the end or to each row's halt."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from trm.config.run import RunConfig
from trm.evaluation.draws import EvaluationDraws
from trm.evaluation.metrics import is_scored_early
from trm.models.halting import wants_to_halt
from trm.models.network import Draws, Latents, Network, Output

LEAVE_STEPS = 4
"""On an accelerator rows leave every so many steps: how many are left, the host has to wait for."""


@dataclass
class Answers:
    """What a batch's rows say."""

    halting_step: Int[Tensor, " batch"]
    """At which a row first wants to halt; the last step, where it never does."""
    final: Output | None = None
    """After all steps, or at each row's halt where its network stops an evaluation there; None where rows left."""
    halted: Output | None = None
    """Each row's at `halting_step`; None where nobody asked."""
    early: dict[int, Int[Tensor, "batch cells"]] = field(default_factory=dict)
    """Step -> predicted cells, after those steps before the last that are scored."""
    has_halted: Bool[Tensor, " batch"] | None = None
    """Which rows have wanted to halt by now; None where rows left."""


Look = Callable[[int, Output, Latents, Latents], None]
"""What is told a supervision step, what the rows answer after it (as an evaluation of so many steps would), and the latents that
the step was given and made."""


def steps_of(config: RunConfig) -> int:
    """Supervision steps that an evaluation gives a puzzle."""
    return config.answer_steps


def answers(
    model: Network,
    inputs: Int[Tensor, "batch cells"],
    puzzle_rows: Float[Tensor, "batch ndim"] | None,
    config: RunConfig,
    keys: Int64[Tensor, " batch"] | None = None,
    look: Look | None = None,
) -> Answers:
    """After all supervision steps, or at each row's halt where its network stops there (`Halting.stops_evaluation`).

    With `evaluation.reports_halted` at each row's halt too. `keys` are the rows', of an evaluation that draws. `look`
    is called after every step.
    """
    steps, stops = steps_of(config), config.model.halting.stops_evaluation
    draws = EvaluationDraws(config, keys)
    latents = draws.starts(model, len(inputs))
    found = Answers(torch.full((len(inputs),), steps, device=inputs.device))
    has_halted = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
    for step in range(1, steps + 1):
        given = draws.carried(latents, step)
        latents, output = _step(model, given, inputs, puzzle_rows, draws.of_network(step))
        wants = wants_to_halt(output, config.model)
        found.halting_step = _halting_step(found.halting_step, wants, step)
        found.has_halted = has_halted = has_halted | wants
        if stops or config.evaluation.reports_halted:
            is_open = found.halting_step >= step  # it has not halted before
            halted = _chosen(is_open, output, (found.final if stops else found.halted) or output)
            output = halted if stops else output
            found.halted = halted if config.evaluation.reports_halted else None
        if is_scored_early(step, steps):
            found.early[step] = output.logits.argmax(-1)
        found.final = output
        if look is not None:
            look(step, output, given, latents)
    return found


def halted_answers(
    model: Network,
    inputs: Int[Tensor, "batch cells"],
    puzzle_rows: Float[Tensor, "batch ndim"] | None,
    config: RunConfig,
    keys: Int64[Tensor, " batch"] | None = None,
) -> Answers:
    """Each row's answer at its first halt (adaptive computation time), or at the last step; rows that halted leave the batch.

    `keys` are the rows', of an evaluation that draws.
    """
    steps = steps_of(config)
    draws = EvaluationDraws(config, keys)
    latents = draws.starts(model, len(inputs))
    found = Answers(torch.full((len(inputs),), steps, device=inputs.device))
    places = torch.arange(len(inputs), device=inputs.device)
    for step in range(1, steps + 1):
        latents, output = _step(model, draws.carried(latents, step), inputs, puzzle_rows, draws.of_network(step))
        halting_step = _halting_step(found.halting_step[places], wants_to_halt(output, config.model), step)
        found.halting_step[places] = halting_step
        if found.halted is None:
            found.halted = output
        for whole, new in zip(_tensors(found.halted), _tensors(output), strict=True):
            whole[places] = _where(halting_step >= step, new, whole[places])
        if step == steps or not _is_leaving_time(step, inputs.device):
            continue
        stays = (halting_step > step).nonzero().squeeze(1)
        if not len(stays):
            break
        if len(stays) < len(places):
            places, inputs = places[stays], inputs[stays]
            latents = {name: value[stays] for name, value in latents.items()}
            puzzle_rows = None if puzzle_rows is None else puzzle_rows[stays]
            draws = draws.kept(stays)
    return found


def _step(
    model: Network, latents: Latents, inputs: Tensor, puzzle_rows: Tensor | None, draws: Draws | None
) -> tuple[Latents, Output]:
    made: tuple[Latents, Output] = model(latents, inputs, puzzle_rows, *(() if draws is None else (draws,)))
    return made


def _is_leaving_time(step: int, device: torch.device) -> bool:
    return device.type == "cpu" or step % LEAVE_STEPS == 0


def _halting_step(known: Tensor, wants: Tensor, step: int) -> Tensor:
    """`known`, or `step` where a row that has not halted wants to now, exploration apart."""
    return torch.where(wants, known.clamp(max=step), known)


def _tensors(output: Output) -> tuple[Tensor, ...]:
    """What counts of an answer: what its earlier cycles said does not."""
    return output.logits, output.q_halt, output.q_continue


def _chosen(is_new: Tensor, new: Output, old: Output) -> Output:
    """Row by row one answer or the other."""
    logits, q_halt, q_continue = (_where(is_new, *pair) for pair in zip(_tensors(new), _tensors(old), strict=True))
    return Output(logits, q_halt, q_continue)


def _where(is_new: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Row by row one or the other."""
    return torch.where(is_new.view(-1, *[1] * (new.dim() - 1)), new, old)
