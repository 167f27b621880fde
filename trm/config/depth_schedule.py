"""Depth schedules: a run's first steps recur less, so that they cost less (CGAR, arXiv 2511.08653, section 3)."""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import BeforeValidator, ValidationError

from trm.config.architectures import AnyNetwork, networks_where
from trm.config.base import TextForm

CGAR_SHARES = (0.3, 0.3, 0.4)
"""Of the schedule that CGAR trained with: (1, 2), then (2, 4), then (3, 6)."""
MOST_STAGES = 16
MOST_CYCLES = 64
"""As of a network's own."""
STAGE = re.compile(r"(\d+\.?\d*(?:e-?\d+)?|\.\d+(?:e-?\d+)?):(\d{1,9})x(\d{1,9})", re.ASCII)
SUM_TOLERANCE = 1e-5
"""Shares are typed in with few digits: three times .333333 is a whole."""


class DepthStage(NamedTuple):
    """A stage of a depth schedule, written [share, H_cycles, L_cycles]."""

    share: float
    """Of the run's steps."""
    H_cycles: int
    """Answer updates a supervision step."""
    L_cycles: int
    """Latent updates before each of them."""


def _written(value: Any) -> Any:
    """What a person wrote, where it is a schedule; ValueError with one message for all that is none."""
    if value is None or value == "cgar":
        return value
    value = _stages_of(value) if isinstance(value, str) else value
    if not isinstance(value, list | tuple):
        raise _no_schedule(value)
    if not 1 <= len(value) <= MOST_STAGES:
        raise ValueError(f"it must have 1 to {MOST_STAGES} stages, got {len(value)}; leave it null or write some")
    for stage in value:
        if not (isinstance(stage, list | tuple) and len(stage) == 3 and all(type(one) in (int, float) for one in stage)):
            raise ValueError(
                f"each stage must be [share of the steps, H_cycles, L_cycles], three numbers, got {stage!r}; write it so"
            )
        if not 0 < stage[0] <= 1:
            raise ValueError(
                f"the share of a stage must be above 0 and at most 1, got {stage[0]:g}; leave the stage out or mend it"
            )
        if not all(type(cycles) is int and 1 <= cycles <= MOST_CYCLES for cycles in stage[1:]):
            shown = f"[{stage[0]:g}, {stage[1]:g}, {stage[2]:g}]"
            raise ValueError(f"cycles of a stage must be whole numbers from 1 to {MOST_CYCLES}, got {shown}; mend them")
    _require_whole([stage[0] for stage in value])
    return value


def _stages_of(text: str) -> list[list[float]]:
    found = [STAGE.fullmatch(stage) for stage in text.split()]
    if not found or None in found:
        raise _no_schedule(text)
    return [[float(stage[1]), int(stage[2]), int(stage[3])] for stage in found if stage]


def _no_schedule(value: Any) -> ValueError:
    return ValueError(
        f"it must be null, cgar, or a stage after the other as SHARE:H_CYCLESxL_CYCLES, got {value!r}; "
        "write for instance 0.3:1x2 0.3:2x4 0.4:3x6, or as a list [[0.3, 1, 2], [0.3, 2, 4], [0.4, 3, 6]]"
    )


def _as_text(stages: Sequence[DepthStage]) -> str:
    """Stages in the form that a knob may have."""
    return " ".join(f"{float(share)!r}:{H_cycles}x{L_cycles}" for share, H_cycles, L_cycles in stages)


DepthSchedule: TypeAlias = Annotated[Literal["cgar"] | tuple[DepthStage, ...] | None, BeforeValidator(_written), TextForm(_as_text)]
"""`cgar`: a third and two thirds of the network's own cycles, rounded up, for 30 % of the steps each, then all of them."""


class DepthPart(NamedTuple):
    """A part of a run whose steps are as deep as each other."""

    share: float
    """Of the run's steps."""
    model: AnyNetwork
    """The network, as deep as it is there."""


def depth_parts(schedule: DepthSchedule, model: AnyNetwork) -> tuple[DepthPart, ...]:
    """The parts of a run of `model`, in order; one without a schedule.

    ValueError, with the remedy, for a network without cycles, a stage that it cannot have, and a last stage that is not the network
    as it is configured, which is what is evaluated and exported.
    """
    if schedule is None:
        return (DepthPart(1.0, model),)
    if (own := model.cycles) is None:
        raise ValueError(
            f"training.depth_schedule changes H_cycles and L_cycles, which the architecture {model.architecture} does not have; "
            f"set training.depth_schedule: null, or model.architecture: {networks_where(lambda one: one.cycles is not None)}"
        )
    stages = _cgar(*own) if schedule == "cgar" else schedule
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
    raise ValueError(f"shares of its stages must add up to 1, got {shown}, which is {total:g}; {remedy}")


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
