"""What a person sees of one whole run: its steps and scores on the way, and what it came to."""

import contextlib
import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from trm.console.streams import say
from trm.sweeps.commands import job_command
from trm.tasks.examples import EXAMPLES_PICTURE
from trm.terminal.command_line import duration, heard_hangup
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import mlflow_command, page_lines
from trm.training.protocol import Protocol
from trm.training.reporting import Progress, Reporter, RunReport
from trm.training.run import RunOutcome

DISPLAY_SECONDS = 10.0


class ConsoleReporter(Reporter):
    """Says on stderr how far the run is: a line every few seconds and one an evaluation; stops the run on a signal."""

    def __init__(self, protocol: Protocol, tell: Callable[[str], None] = say) -> None:
        """`tell` takes a line; in a gang it is the driver's ear."""
        self._tell = tell
        self._upcoming = "report" if protocol.on_the_way is not None else "checkpoint"
        self._said_at = self._scoring_since = time.monotonic()
        self._is_stopped = False

    @contextlib.contextmanager
    def stops_on_signals(self) -> Iterator[None]:
        """While entered, SIGINT, SIGTERM and the end of the terminal make the run save and stop."""

        def handle(number: int, frame: FrameType | None) -> None:
            self._is_stopped = True

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, *heard_hangup())}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_step(self, progress: Progress) -> bool:
        """A line when it is time and the loss is known."""
        if math.isfinite(progress.loss) and time.monotonic() - self._said_at >= DISPLAY_SECONDS:
            self._said_at = time.monotonic()
            self._tell(
                f"step {progress.step}: loss {progress.loss:.4g}, {progress.steps_per_second:.3g} steps/s, "
                f"next {self._upcoming} in {duration(progress.seconds_left)}"
            )
        return self._is_stopped

    def on_evaluation(self, done: int, total: int) -> bool:
        """A line when it is time; hears a signal between batches."""
        now = time.monotonic()
        if done == 1:
            self._scoring_since = now
        elif now - self._said_at >= DISPLAY_SECONDS and done < total:
            self._said_at = now
            left = (now - self._scoring_since) / (done - 1) * (total - done)
            self._tell(f"scoring: batch {done} of {total}, {duration(left)} left")
        return self._is_stopped

    def on_report(self, report: RunReport) -> None:
        """A line an evaluation."""
        self._tell(
            f"step {report.step}/{report.total_steps}: {_scores_text(report)}, {report.train_flops:.3g} FLOP spent, "
            f"{duration(report.seconds_left)} left{' (best)' if report.is_best else ''}"
        )


def _scores_text(report: RunReport) -> str:
    """What was scored, the scores, and what they are worth; of a report without scores only that."""
    if report.split is None:
        return report.label
    scores, label = report.scores, "" if report.label == report.split else f" ({report.label.partition(', ')[2]})"
    shares = f"exact {scores['exact_accuracy']:.2%}, cells {scores['cell_accuracy']:.2%}, loss {scores['loss']:.4g}"
    return f"{report.split} {shares}{label}"


def run_summary(outcome: RunOutcome, folder: Path, store: str | None = None) -> str:
    """What the run came to, where it lies, and the commands that score it again and show it in MLflow (`store`)."""
    pictures = [path.name for path in (folder / "curves.png", folder / EXAMPLES_PICTURE) if path.is_file()]
    lines = [_result_text(outcome), f"weights     {folder}/best/model.safetensors", f"checkpoint  {outcome.checkpoint}"]
    lines += [f"pictures    {folder}: {', '.join(pictures)}"] if pictures else []
    if store is not None:
        lines += [f"MLflow      {mlflow_command(store)}"]
        lines += [f"there       open {shlex.quote(line)}" for line in page_lines(OutboxState.read(folder), store)]
    return "\n".join([*lines, f"next        {job_command('evaluate.py')} {shlex.quote(str(folder))}"])


def _result_text(outcome: RunOutcome) -> str:
    best, last = outcome.best, outcome.last
    if best.split is None:
        return f"{best.train_flops:.3g} training FLOPs in {best.step} steps; {best.label}"
    reached = f"{best.split} exact accuracy {best.scores['exact_accuracy']:.2%} at step {best.step}"
    if last.label == "validation":
        return f"best {reached}"
    if last.label.endswith("after the last step"):
        return f"{reached} ({last.label.partition(', ')[2]})"
    return f"best {reached}, last {last.scores['exact_accuracy']:.2%} ({last.label})"
