"""What a network that was trained anew comes to on whole splits, by the sweep's own measure."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.batches.split import load_split
from trm.data.format.manifest import SplitName, read_manifest
from trm.evaluation.evaluate import evaluate
from trm.tasks.choice import task_named
from trm.training.process import training_device
from trm.training.scoring import evaluation_plan
from trm.training.weights import load_for_evaluation


def whole_scores(best: Path, data_folder: str, splits: Sequence[SplitName]) -> dict[SplitName, dict[str, float]]:
    """The evaluation of exported weights on all of each split."""
    manifest, device = read_manifest(data_folder), training_device()
    trained = load_for_evaluation(best, device)
    found: dict[SplitName, dict[str, float]] = {}
    for name in splits:
        plan = evaluation_plan(trained.config, load_split(data_folder, manifest, name), manifest, is_whole=True)
        task = task_named(manifest.task)
        with shown(f"scoring {name}", say) as report:
            scored = evaluate(
                trained.model,
                trained.table,
                plan,
                manifest=manifest,
                scorer=task.scorer(manifest, plan.split),
                forms=task.forms(manifest),
                config=trained.config,
                device=device,
                progress=partial(report, "batches"),
            )
        found[name] = dict(scored.metrics)
    return found
