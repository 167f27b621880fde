"""Depth schedules: a run's first steps recur less, so that they cost less (CGAR, arXiv 2511.08653, section 3)."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import BeforeValidator, Field, ValidationError

from trm.config.architectures import AnyNetwork

CGAR_SHARES = (0.3, 0.3, 0.4)
"""Of the schedule that CGAR trained with: (1, 2), then (2, 4), then (3, 6)."""
MOST_STAGES = 16
SUM_TOLERANCE = 1e-5
"""Shares are typed in with few digits: three times .333333 is a whole."""


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a stage is [share, H_cycles, L_cycles], three numbers; give a number")
    return value


_Cycles = Annotated[int, BeforeValidator(_no_truth), Field(ge=1, le=64)]


class DepthStage(NamedTuple):
    """A stage of a depth schedule, written [share, H_cycles, L_cycles]."""

    share: Annotated[float, BeforeValidator(_no_truth), Field(gt=0, le=1, allow_inf_nan=False)]
    """Of the run's steps."""
    H_cycles: _Cycles
    """Answer updates a supervision step."""
    L_cycles: _Cycles
    """Latent updates before each of them."""


DepthSchedule: TypeAlias = Literal["cgar"] | Annotated[tuple[DepthStage, ...], Field(min_length=1, max_length=MOST_STAGES)] | None
"""`cgar`: a third and two thirds of the network's own cycles, rounded up, for 30 % of the steps each, then all of them."""


class DepthPart(NamedTuple):
    """A part of a run whose steps are as deep as each other."""

    share: float
    """Of the run's steps."""
    model: AnyNetwork
    """The network, as deep as it is there."""


def depth_parts(schedule: DepthSchedule, model: AnyNetwork) -> tuple[DepthPart, ...]:
    """The parts of a run of `model`, in order; one without a schedule.

    ValueError, with the remedy, for shares that do not add up to 1, a network without cycles, a stage that it cannot have, and a
    last stage that is not the network as it is configured, which is what is evaluated and exported.
    """
    if schedule is None:
        return (DepthPart(1.0, model),)
    if (own := model.cycles) is None:
        raise ValueError(
            f"training.depth_schedule changes H_cycles and L_cycles, which the architecture {model.architecture} does not have; "
            "set training.depth_schedule: null or take one that has them, such as trm"
        )
    stages = _cgar(*own) if schedule == "cgar" else schedule
    _require_whole([stage.share for stage in stages])
    last = stages[-1]
    if (last.H_cycles, last.L_cycles) != own:
        raise ValueError(
            f"training.depth_schedule must end with the network that is evaluated, H_cycles {own[0]} and L_cycles {own[1]}, got "
            f"[{last.share:g}, {last.H_cycles}, {last.L_cycles}]; make its last stage [{last.share:g}, {own[0]}, {own[1]}], or set "
            f"model.H_cycles {last.H_cycles} and model.L_cycles {last.L_cycles}"
        )
    return tuple(_merged([_part(stage, model) for stage in stages]))


def _cgar(H_cycles: int, L_cycles: int) -> tuple[DepthStage, ...]:
    """The published one at H 3 and L 6."""
    return tuple(
        DepthStage(share, -(-H_cycles * part // 3), -(-L_cycles * part // 3)) for part, share in enumerate(CGAR_SHARES, start=1)
    )


def _require_whole(shares: Sequence[float]) -> None:
    total = math.fsum(shares)
    if abs(total - 1) <= SUM_TOLERANCE:
        return
    shown = ", ".join(f"{share:g}" for share in shares)
    remedy = "make them parts of the run's steps, for instance .3, .3, .4"
    if abs(shares[-1] - 1) <= SUM_TOLERANCE and list(shares) == sorted(set(shares)):
        parts = [after - before for before, after in zip((0.0, *shares[:-1]), shares, strict=True)]
        remedy = f"they look like where stages end; write {', '.join(f'{round(part, 9):g}' for part in parts)}"
    raise ValueError(f"shares of training.depth_schedule must add up to 1, got {shown}, which is {total:g}; {remedy}")


def _part(stage: DepthStage, model: AnyNetwork) -> DepthPart:
    try:
        return DepthPart(stage.share, cast(AnyNetwork, model.with_cycles(stage.H_cycles, stage.L_cycles)))
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        shown = f"[{stage.share:g}, {stage.H_cycles}, {stage.L_cycles}]"
        raise ValueError(
            f"every stage of training.depth_schedule must be a network, and {shown} is none: {said}; deepen that stage"
        ) from None


def _merged(parts: Sequence[DepthPart]) -> list[DepthPart]:
    """Stages in a row that are as deep as each other are one."""
    found: list[DepthPart] = []
    for part in parts:
        if found and found[-1].model == part.model:
            part = DepthPart(found.pop().share + part.share, part.model)
        found.append(part)
    return found
