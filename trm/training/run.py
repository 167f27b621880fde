"""One whole run, in place or as a worker of a gang: legs in a row, from evaluation to evaluation and save to save, in a folder."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import CheckpointError, InterruptedRun
from trm.evaluation.examples import ExampleKeeper
from trm.models.cost import run_cost, total_steps
from trm.tasks.examples import write_examples
from trm.training.curve import CurveFile
from trm.training.evaluations import write_evaluations
from trm.training.leg import Beginning
from trm.training.protocol import Protocol, protocol_of, splits_in
from trm.training.reporting import SILENT, Reporter, RunReport
from trm.training.run_folder import RunFolder
from trm.training.start import RunData
from trm.training.trainer import Trainer
from trm.training.weights import export_weights

EVALUATIONS = 10
"""Evaluations of a run that does not say when."""


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to."""

    last: RunReport
    """Its last evaluation."""
    best: RunReport
    """Its best one, by exact accuracy, then loss, or its last where nothing is scored on the way; its weights are in `best/`."""
    checkpoint: Path
    """Its last checkpoint."""


def fit(
    config: RunConfig,
    splits: RunData,
    manifest: Manifest,
    *,
    folder: str | Path,
    is_resumed: bool = False,
    gang: Gang = SOLO,
    reporter: Reporter = SILENT,
    device: torch.device | str = "cpu",
) -> RunOutcome:
    """Trains `config` to its end in `folder`, or goes on there from the newest whole checkpoint; all of a gang's workers call it.

    What is scored, and when, follows from `evaluation.split` and what `manifest` has (see `protocol`); `splits` holds that.
    A reporter that stops the run gets a checkpoint first, then InterruptedRun is raised. DivergedError and
    OutOfMemoryError leave the checkpoints made before.
    """
    run_folder = RunFolder(folder)
    require_same_protocol(run_folder, protocol_in(config, manifest))
    steps = run_steps(config, manifest)
    newest = run_folder.newest_whole()[0] if is_resumed else None
    trainer = Trainer(
        config,
        splits,
        manifest,
        None if newest is None else Beginning(str(newest)),
        max_steps=steps,
        curve=CurveFile(run_folder.curve),
        gang=gang,
        reporter=reporter,
        device=device,
    )
    if gang.is_leader:
        if is_resumed:
            run_folder.resume(trainer.state.step, config)
        else:
            run_folder.start(config, trainer.state.start_lines)
    gang.barrier()
    return _Run(trainer, run_folder, steps).go()


def run_steps(config: RunConfig, manifest: Manifest) -> int:
    """Optimizer steps of the whole run, from whichever length `config` gives."""
    rows = manifest.splits["train"].epoch_rows(is_streamed=config.data.is_streamed)
    return total_steps(config, run_cost(config, manifest.shape), epoch_rows=rows)


def protocol_in(config: RunConfig, manifest: Manifest) -> Protocol:
    """What a run on the built data set of `manifest` is scored on."""
    return protocol_of(config.evaluation, splits_in(manifest), manifest.name, to_hold_out="build it with validation puzzles")


def require_same_protocol(folder: RunFolder, protocol: Protocol) -> None:
    """CheckpointError when the run in `folder` was scored on another split so far: its best would be of neither."""
    for row in folder.rows():
        before = RunReport(**row).split
        if before is not None and before != protocol.split:
            raise CheckpointError(
                f"a run is scored on one split: {folder.path} was on {before} so far, evaluation.split asks for {protocol.split}",
                remedy=f"set evaluation.split: {before}",
            )


class _Run:
    """A run on its way from leg to leg; what it scored before is read from its folder, so a resumed run knows its best."""

    def __init__(self, trainer: Trainer, folder: RunFolder, steps: int) -> None:
        self.trainer, self.state, self.folder, self.steps = trainer, trainer.state, folder, steps
        self.protocol = protocol_in(self.state.config, trainer.manifest)
        self.state.until_steps = steps
        training = self.state.config.training
        self.eval_every = training.eval_every_steps or -(-steps // EVALUATIONS)
        self.save_every = training.checkpoint_every_steps or self.eval_every
        self.reports = [RunReport(**row) for row in folder.rows()]
        self.saved_at = self.state.step
        self.past = dict(self.reports[-1].seconds) if self.reports else {}
        """Seconds of the processes before a resume."""

    def go(self) -> RunOutcome:
        """From the state's step to the end."""
        is_stopped = False
        while True:
            step = self.state.step
            is_end = step >= self.steps

            # evaluate
            is_due = is_end or (step > 0 and step % self.eval_every == 0 and self.protocol.on_the_way is not None)
            if is_due and not is_stopped and step not in [report.step for report in self.reports[-1:]]:
                if step != self.saved_at and self.protocol.on_the_way is None:
                    self._save()  # a whole split takes long, and nothing but this one evaluation follows
                is_stopped = self._evaluate()

            # save
            if step != self.saved_at and (is_end or is_stopped or step % self.save_every == 0):
                self._save()

            # stop
            if is_stopped:
                raise InterruptedRun(f"stopped at step {step} of {self.steps}; {self.folder.path} can be resumed")
            if is_end:
                return RunOutcome(self.reports[-1], self._best(), self.folder.checkpoint(step))

            # step and log, up to where something is due
            upcoming = min((step // every + 1) * every for every in (self.eval_every, self.save_every))
            is_stopped = self.trainer.train(min(upcoming, self.steps))

    def _evaluate(self) -> bool:
        """Scores the state and writes it down; True when the reporter stopped that."""
        split, scored, keeper = self.protocol.split, None, None
        if split is not None:
            keeper = ExampleKeeper(self.trainer.splits[split])
            try:
                scored = self.trainer.score(split, is_whole=self.protocol.on_the_way is None, record=keeper)
            except InterruptedRun:
                return True
        report = self._report({} if scored is None else dict(scored.evaluation.metrics), 0.0 if scored is None else scored.seconds)
        self.reports.append(report)
        self.saved_at = -1  # the report took the sums of the training metrics: the next checkpoint begins new ones
        if report.is_best and keeper is not None:
            self._write_examples(keeper, report)
        if self.state.gang.is_leader:
            if report.is_best:
                export_weights(self.state, self.folder.best)
                self.folder.write_best(report)
            self.folder.append(report)
            write_evaluations(self.folder.evaluations, self.reports)
            self.state.curve.write()
            self.trainer.reporter.on_report(report)
        return False

    def _write_examples(self, keeper: ExampleKeeper, report: RunReport) -> None:
        """A few puzzles of the best evaluation; a disk that takes none costs the run no more."""
        gang, device = self.state.gang, self.state.device
        found = keeper.kept(lambda column: gang.all_gather_rows(torch.from_numpy(column).to(device)).cpu().numpy())
        if gang.is_leader and report.split is not None:
            with contextlib.suppress(OSError):
                write_examples(self.folder.examples, found, self.trainer.manifest, split=report.split, step=report.step)

    def _report(self, scores: dict[str, float], seconds: float) -> RunReport:
        trainer, state, split = self.trainer, self.state, self.protocol.split
        training = trainer.take_training()
        left = self.steps - state.step
        made, ahead = state.flops.between(state.step - trainer.steps, state.step), state.flops.between(state.step, self.steps)
        pace = trainer.train_seconds / made if made else 0.0
        return RunReport(
            step=state.step,
            total_steps=self.steps,
            train_flops=state.train_flops,
            validation=scores if split == "validation" else {},
            test=scores if split == "test" else {},
            training=training,
            seconds=self._seconds(),
            seconds_left=ahead * pace + -(-left // self.eval_every) * seconds,
            is_best=self._is_best(scores),
            at=time.time(),
            label=self.protocol.label(1 + sum(bool(earlier.test) for earlier in self.reports)),
        )

    def _is_best(self, scores: dict[str, float]) -> bool:
        if self.protocol.on_the_way is None:
            return True
        return all(_rank(scores) > _rank(earlier.scores) for earlier in self.reports if earlier.is_best)

    def _save(self) -> None:
        self.state.save(self.folder.checkpoint(self.state.step))
        self.saved_at = self.state.step
        if self.state.gang.is_leader and self.state.config.training.keep_checkpoints == "last":
            self.folder.prune(self._best().step if self.reports else -1)

    def _best(self) -> RunReport:
        return [report for report in self.reports if report.is_best][-1]

    def _seconds(self) -> dict[str, float]:
        """Where the seconds of the whole run went so far."""
        here = self.trainer
        now = {"training": here.train_seconds, "evaluation": here.eval_seconds, "other": here.other_seconds}
        return {name: self.past.get(name, 0.0) + seconds for name, seconds in now.items()}


def _rank(scores: Mapping[str, float]) -> tuple[float, float]:
    return scores["exact_accuracy"], -scores["loss"]
