"""What a leg's return means for the journal."""

from dataclasses import asdict

from trm.cluster.leg import LegReturn, LegTask
from trm.search.journal.events import LegEnded
from trm.search.objective import reported
from trm.search.settings import Objective
from trm.sweeps.steady_clock import steady_now

SAME = (
    *("metrics", "steps", "train_flops", "train_seconds", "eval_seconds", "overhead_seconds"),
    *("checkpoint", "peak_memory_bytes", "started_at", "ended_at", "process", "torn"),
)
"""What a leg returns under the name that the journal has for it."""


def leg_ended(task: LegTask, returned: LegReturn, objective: Objective) -> LegEnded:
    """The journal's line on a leg; one that does not report what the objective names has failed."""
    metric = objective.metric
    value = returned.metrics.get(metric)
    status, problem = returned.status, returned.error
    assert status not in ("interrupted", "disk_full"), "such a leg goes on as if it had never been begun"
    missing = next((name for name in (metric, *reported(objective)) if name not in returned.metrics), None)
    if status == "completed" and missing is not None:
        known = ", ".join(sorted(name for name in returned.metrics if not name.startswith("train/")))
        what = "objective.metric" if missing == metric else "objective.against"
        status, problem = "failed", f"{what} {missing!r} is not reported; the evaluation reports {known}"
    same = {name: value for name, value in asdict(returned).items() if name in SAME}
    return LegEnded(
        trial=task.trial,
        rung=task.rung,
        attempt=task.attempt,
        status=status,
        objective=value,
        standard_error=returned.standard_errors.get(metric),
        loss=returned.metrics.get("loss"),
        error=problem,
        at=steady_now(),
        **same,
    )
