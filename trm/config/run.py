"""Every knob of a run, as frozen pydantic models: people write sparse YAML, machines write complete files.

Knobs keep the field's names, so that a published recipe can be typed in. Imports neither torch nor ray.
"""

import hashlib
import json
from typing import Annotated, Any

from pydantic import (
    Field,
    model_validator,
)

from trm.config.architectures import AnyNetwork, networks_where
from trm.config.base import Later, Written, without_later
from trm.config.data import DataConfig
from trm.config.depth_schedule import DepthPart, depth_parts
from trm.config.imports import require_asked
from trm.config.losses import ImportedLoss, SupervisionLoss
from trm.config.messages import named_values
from trm.config.optimizers import AdamATan2Config, AnyOptimizer, MuonConfig
from trm.config.recursion import QUESTION
from trm.config.recursive_networks import TrmConfig
from trm.config.start import StartConfig
from trm.config.tracking import Tracking
from trm.config.training import WHEN_WRITTEN, EvaluationConfig, TrainingConfig
from trm.config.unions import Tagged

CHANGES_WITHIN_RUN = (
    "optim.lr",
    "optim.weight_decay",
    "optim.puzzle_emb_lr",
    "optim.puzzle_emb_weight_decay",
    "optim.beta1",
    "optim.beta2",
    "optim.eps",
    "optim.momentum",
    "optim.nesterov",
    "optim.rest_lr",
    "optim.rest_weight_decay",
    "optim.embedding_lr",
    "optim.head_lr",
    "optim.embedding_weight_decay",
    "optim.head_weight_decay",
    "optim.bias_weight_decay",
    "optim.grad_clip",
    "optim.ema_rate",
    "model.halt_exploration_prob",
    "model.halt_max_steps",
    "model.dropout",
    "model.path_noise",
    "model.relaxation",
    "training.carry_noise",
)
"""Paths of the configuration that may change from one step to the next: they size no tensor, and neither the kind of the
optimizer, nor the cost of a step, nor the order of the data hangs on them."""

INTERMEDIATE_WEIGHT = "training.loss.intermediate_weight"


class RunConfig(Written):
    """One complete run: what train.py takes, what a trial is."""

    data: DataConfig
    """The puzzles."""
    model: Annotated[AnyNetwork, Tagged("architecture", default="trm")] = TrmConfig()
    """The network."""
    optim: AnyOptimizer = AdamATan2Config()
    """The optimizers."""
    training: TrainingConfig = TrainingConfig()
    """The loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The scoring."""
    start: Annotated[StartConfig, Later] = StartConfig()
    """The weights to begin with."""
    imports: tuple[str, ...] = ()
    """Your own Python modules that add networks, optimizers, losses, puzzles, metrics (see `trm.config.imports`)."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Seeds weights, data order, augmentation, exploration, and all that is drawn in training and evaluation."""
    tracking: Tracking = Field(Tracking(), exclude=True)
    """Where MLflow writes a run of train.py: no part of what the run is, and in none of the files that it leaves."""

    @model_validator(mode="before")
    @classmethod
    def _imports_were_asked_for(cls, values: Any) -> Any:
        if isinstance(values, dict):
            require_asked(values.get("imports"), "the run configuration")
        return values

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        t = self.training
        if t.epochs is None and t.steps is None and t.train_flops is None:
            raise ValueError("a run needs a length; set one of training.epochs, training.steps, training.train_flops")
        if t.kernels == "fused" and (t.compile or self.model.forward_dtype not in ("auto", "float32")):
            compiled = f" and training.compile {str(t.compile).lower()}" if t.compile else ""
            raise ValueError(
                f"training.kernels fused computes in float32 and is not compiled, got model.forward_dtype "
                f"{self.model.forward_dtype}{compiled}; set training.kernels: auto"
            )
        if t.kernels == "fused" and (unfused := self.unfused):
            done = {f"model.{name}": values[0] for name, values in self.model.FUSED_VALUES.items() if values} | {
                INTERMEDIATE_WEIGHT: 0
            }
            instead = (
                f"set {' and '.join(f'{path}: {done[path]}' for path in unfused)}, or" if unfused.keys() <= done.keys() else "set"
            )
            raise ValueError(
                f"training.kernels fused does not do {named_values(unfused)}; {instead} training.kernels: auto, which does it by "
                f"torch's operators"
            )
        if self.optim.trained == "puzzle_embedding" and not self.model.puzzle_ndim:
            raise ValueError(
                "optim.trained puzzle_embedding needs a puzzle embedding, and model.puzzle_emb_ndim is 0; "
                "set optim.trained: all or heads"
            )
        if self.optim.trained == "puzzle_embedding" and QUESTION in self.model.recursion.without_gradient:
            raise ValueError(
                "optim.trained puzzle_embedding trains what comes in with the question, and model.gradient last_call brings no "
                "gradient there; set model.gradient: one_step, last_cycle or all, or optim.trained: all"
            )
        if isinstance(self.optim, MuonConfig) and self.optim.trained != "all":
            raise ValueError(
                f"muon updates matrices of a network's blocks, and optim.trained {self.optim.trained} trains none; "
                f"set optim.type: {self.optim.rest}"
            )
        self._check_slots()
        if isinstance(self.optim, MuonConfig) and not self.model.HAS_MATRICES:
            raise ValueError(
                f"muon updates matrices of a network's blocks, and those of {self.model.architecture} have none; "
                f"set optim.type: {self.optim.rest}, or another model.architecture"
            )
        self._check_loss()
        self._check_rollouts()
        depth_parts(t.depth_schedule, self.model)  # says what is wrong with a schedule
        return self

    def _check_loss(self) -> None:
        loss, model = self.training.loss, self.model
        if not isinstance(loss, SupervisionLoss):
            return
        weighs_halting = loss.halt_loss_weight != SupervisionLoss.model_fields["halt_loss_weight"].default
        if weighs_halting and not model.halting.learns_halt:
            learning = networks_where(lambda one: one.halting.learns_halt)
            halts = "model.answers_after: last_cycle" if model.recursion.answers_every_cycle else f"model.architecture: {learning}"
            raise ValueError(
                f"training.loss.halt_loss_weight {loss.halt_loss_weight:g} means nothing for {_named(model)}, which learns no "
                f"halting; leave it out, or set {halts}"
            )
        if loss.intermediate_weight and (model.cycles is None or model.recursion.answers > 1):
            why = "which has no inner cycles" if model.cycles is None else "which counts every cycle's answer in full"
            raise ValueError(
                f"training.loss.intermediate_weight {loss.intermediate_weight:g} means nothing for {_named(model)}, {why}; "
                f"set it to 0, or take trm, single_z, latents or hrm with answers after the last cycle"
            )
        if 1 + loss.step_weights * model.halt_max_steps <= 0:
            raise ValueError(
                f"training.loss.step_weights a must leave every weight 1 + a t above 0, got {loss.step_weights:g} with "
                f"model.halt_max_steps {model.halt_max_steps}; set it above {-1 / model.halt_max_steps:.4g}"
            )

    @property
    def reads_cycles(self) -> bool:
        """Whether an answer is read, in training, after an H cycle that is not the last (`training.loss.intermediate_weight`)."""
        loss = self.training.loss
        if not isinstance(loss, SupervisionLoss) or not loss.intermediate_weight:
            return False
        return any(part.model.cycles is not None and part.model.cycles[0] > 1 for part in self.depth_parts)

    @property
    def carries_answers(self) -> bool:
        """Whether a slot carries the answer read last from step to step (`training.loss.answer_target`)."""
        return isinstance(self.training.loss, SupervisionLoss) and self.training.loss.answer_target == "difference"

    @property
    def unfused(self) -> dict[str, Any]:
        """What of the run the CPU's kernels do not do, by path: of the network, and of the loss."""
        loss = self.training.loss
        own = {INTERMEDIATE_WEIGHT: loss.intermediate_weight} if isinstance(loss, SupervisionLoss) and self.reads_cycles else {}
        return self.model.unfused | own

    @property
    def depth_parts(self) -> tuple[DepthPart, ...]:
        """Parts of the run whose steps are as deep as each other; one where there is no `training.depth_schedule`."""
        return depth_parts(self.training.depth_schedule, self.model)

    def _check_slots(self) -> None:
        """What is done to the slots' latents has latents that it knows, and a loss that does it."""
        t = self.training
        if t.hypotheses > 1 and not self.model.HAS_BLOCKS:
            raise ValueError(
                f"training.hypotheses {t.hypotheses} are latents that blocks update, and {self.model.architecture} has none; set "
                f"training.hypotheses: 1, or model.architecture trm, single_z, latents, hrm, transformer or direct"
            )
        if t.carry_noise and not self.model.CARRIES_LATENTS:
            raise ValueError(
                f"training.carry_noise {t.carry_noise:g} is of latents that slots carry, and {self.model.architecture} has none; "
                f"set training.carry_noise: 0, or model.architecture: {networks_where(lambda one: one.CARRIES_LATENTS)}"
            )
        deepest = max((one.steps or 1 for one in self.evaluation.figures), default=1)
        for name, steps in (("steps", self.evaluation.steps or 1), ("metrics of steps", deepest)):
            if steps > 1 and not self.model.CARRIES_LATENTS:
                raise ValueError(
                    f"evaluation.{name} {steps} would ask {self.model.architecture} again, which carries nothing from "
                    f"one step to the next; leave it out or set 1"
                )
        ours = (("hypotheses", 1), ("carry_noise", 0), ("passes_per_update", 1), ("micro_batches", 1))
        for name, value, off in ((name, getattr(t, name), off) for name, off in ours):
            if value != off and isinstance(t.loss, ImportedLoss):
                raise ValueError(
                    f"training.{name} {value:g} is of the losses that come with this project, and {t.loss.type} is your own, which "
                    f"does to the slots what it likes; set training.{name}: {off}"
                )

    def _check_rollouts(self) -> None:
        """Several answers to a puzzle cost as often, so they must differ."""
        count, steps = self.evaluation.rollouts, self.answer_steps
        if count > 1 and not self.draws_in_evaluation:
            noisy = "evaluation.noise: 0.3" if steps > 1 else "evaluation.steps: 2 or more, for noise between steps,"
            others = f"{noisy} or evaluation.starts: random" if self.model.CARRIES_LATENTS else "another model.architecture"
            raise ValueError(
                f"evaluation.rollouts must differ by what is drawn, and {count} of this {self.model.architecture} would be alike; "
                f"set {others}, or evaluation.rollouts: 1"
            )

    @property
    def answer_steps(self) -> int:
        """Supervision steps that an evaluation's answers are of."""
        return self.evaluation.steps or self.model.halt_max_steps

    @property
    def pass_steps(self) -> int:
        """Supervision steps that an evaluation makes: more than its answers are of, where a figure of more is asked for."""
        return max(self.answer_steps, *(one.steps or 1 for one in self.evaluation.figures), 1)

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether an evaluation draws anything: what its network does, other starts, or noise between two supervision steps."""
        own, model = self.evaluation, self.model
        is_noisy = own.noise > 0 and self.pass_steps > 1
        return model.draws_in_evaluation or (model.CARRIES_LATENTS and (is_noisy or own.starts == "random"))

    def _deciding_values(self) -> dict[str, Any]:
        return {"model": self.model.deciding_values(), "optim": self.optim.deciding_values()}

    def network_digest(self) -> str:
        """Digest of what decides the run's result: equal for two configurations that are the same run.

        The seed counts, so a replicate on another seed differs.
        """
        values = without_later(self, self.model_dump(mode="json") | self._deciding_values())
        values.pop("imports")  # where a member comes from
        data = values["data"]
        for key in ("mode", "shuffle_window_rows"):
            data.pop(key)
        if not self.data.is_weighed:
            data.pop("difficulty", None)
        if self.data.is_streamed:
            data |= self.data.order()
        if self.model.puzzle_ndim == 0:
            values["optim"]["puzzle_emb_lr"] = values["optim"]["puzzle_emb_weight_decay"] = 0
        if self.optim.type == "adam_atan2":  # as before there were others
            values["optim"].pop("type")
        if not self.optim.ema:
            values["optim"]["ema_rate"] = values["optim"]["ema_warmup"] = 0
        for key in (*WHEN_WRITTEN, "cuda_graph", "kernels", "micro_batches"):
            values["training"].pop(key, None)
        if (parts := self.depth_parts)[1:]:  # by whatever words it was asked for
            values["training"]["depth_schedule"] = [[one.share, *(one.model.cycles or ())] for one in parts]
        else:
            values["training"].pop("depth_schedule", None)
        if isinstance(self.training.loss, SupervisionLoss) and not self.reads_cycles:
            values["training"]["loss"] = _without_inner_answers(values["training"]["loss"])
        for key in ("reports_halted", "split", "metrics"):
            values["evaluation"].pop(key, None)
        if self.evaluation.most_votes is None:  # as before there was a number
            values["evaluation"].pop("votes")
        values.pop("start", None)
        if (start := self.start.deciding_values()) is not None:
            values["start"] = start
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _without_inner_answers(loss: Any) -> Any:
    """A loss as JSON, of a run that has no inner answers to weigh."""
    if isinstance(loss, str):
        return loss
    kept = {name: value for name, value in loss.items() if name != "intermediate_weight"}
    return kept["type"] if kept.keys() == {"type"} else kept


def _named(model: AnyNetwork) -> str:
    """A network in a message."""
    return f"{model.architecture} with answers after every cycle" if model.recursion.answers_every_cycle else model.architecture
