"""Splits in memory and a network that gives prepared answers, for the tests of trm.evaluation."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trm.config.run import DataShape, ModelConfig, RunConfig
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import ArcAugmentation, Manifest, NoAugmentation, ShardInfo, SplitInfo
from trm.evaluation.answers import steps_of
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.evaluation.metric_names import metric_names
from trm.models.trm.network import Latents, Output, TinyRecursiveModel
from trm.tasks.augment import augmenter_for
from trm.tasks.score import scorer_for

SMALL_MODEL = {
    "H_cycles": 1,
    "L_cycles": 1,
    "L_layers": 1,
    "hidden_size": 16,
    "num_heads": 2,
    "puzzle_emb_ndim": 0,
    "puzzle_emb_len": 0,
}


def config_of(steps: int, **model: Any) -> RunConfig:
    """A run of a small network that takes so many supervision steps."""
    return RunConfig.model_validate(
        {"data": {"folder": "x"}, "model": {**SMALL_MODEL, "halt_max_steps": steps, **model}, "training": {"steps": 1}}
    )


def manifest_of(task: str, grid: tuple[int, int], vocabulary: int, split: Split) -> Manifest:
    """The manifest of a data set that has only this split."""
    rows = len(split)
    shard = ShardInfo(file="x", rows=rows, bytes=0, sha256="")
    info = SplitInfo(rows=rows, groups=len(split.offsets) - 1, mean_examples=1, shards=(shard,), content_sha256="")
    identifiers = 1 if split.identifier_codes is None else len(split.identifier_codes)
    return Manifest.model_validate(
        {
            "name": "tiny",
            "task": task,
            "grid": grid,
            "vocabulary": tuple(map(str, range(vocabulary))),
            "seq_len": grid[0] * grid[1],
            "num_puzzle_identifiers": identifiers,
            "splits": {split.name: info},
            "augmentation": ArcAugmentation(num_aug=2) if task == "arc" else NoAugmentation(),
            "seed": 0,
            "recipe": {},
            "recipe_digest": "",
            "row_group_rows": 4096,
        }
    ).sealed()


class PreparedAnswers(TinyRecursiveModel):
    """Answers the question with these bytes by the tokens prepared for it; `wishes` says q_halt and q_continue of every step.

    The answer of step s is the s-th prepared one, the last from then on.
    """

    def __init__(
        self, shape: DataShape, answers: Mapping[bytes, Sequence[np.ndarray]], wishes: Mapping[bytes, Sequence[Any]]
    ) -> None:
        super().__init__(ModelConfig.model_validate(SMALL_MODEL), shape, dtype=torch.float32)
        self.answers, self.wishes = answers, wishes

    def initial_latents(self, batch_size: int) -> Latents:
        """Steps made, in place of latents."""
        return Latents(torch.zeros(batch_size), torch.zeros(batch_size))

    def forward(self, latents: Latents, inputs: Tensor, puzzle_rows: Tensor | None) -> tuple[Latents, Output]:
        """The prepared answer of this step, with a logit of 9 for its tokens."""
        step = int(latents.z_H[0])
        keys = [row.astype(np.uint8).tobytes() for row in inputs.numpy()]
        tokens = np.stack([self.answers[key][min(step, len(self.answers[key]) - 1)] for key in keys])
        pairs = [self.wishes[key][min(step, len(self.wishes[key]) - 1)] for key in keys]
        pairs = torch.tensor([pair if isinstance(pair, tuple) else (pair, 0.0) for pair in pairs])
        logits = 9.0 * functional.one_hot(torch.from_numpy(tokens).long(), self.shape.vocab_size).float()
        return Latents(latents.z_H + 1, latents.z_L), Output(logits, pairs[:, 0], pairs[:, 1])


class Together:
    """Workers that are threads of this process."""

    def __init__(self, workers: int) -> None:
        self.world_size = workers
        self._barrier = threading.Barrier(workers, timeout=60)
        self._parts: dict[int, Tensor] = {}
        self.rank = threading.local()

    def all_gather_rows(self, tensor: Tensor) -> Tensor:
        """The rows of all threads in the order of their ranks."""
        self._parts[self.rank.value] = tensor
        self._barrier.wait()
        joined = torch.cat([self._parts[rank] for rank in range(self.world_size)])
        self._barrier.wait()
        return joined


def score(
    model: TinyRecursiveModel,
    split: Split,
    manifest: Manifest,
    config: RunConfig,
    *,
    batch_size: int = 4,
    workers: int = 1,
    stops_halted: bool = False,
) -> list[Evaluation]:
    """What each worker gets from an evaluation of all of the split."""
    gang = Together(workers)

    def work(rank: int) -> Evaluation:
        gang.rank.value = rank
        plan = EvaluationPlan(
            split, manifest, augmenter_for, batch_size=batch_size, max_examples=None, seed=0, rank=rank, world_size=workers
        )
        found = evaluate(
            model,
            None,
            plan,
            manifest=manifest,
            scorer=scorer_for(manifest, split),
            config=config,
            device="cpu",
            gang=gang,
            stops_halted=stops_halted,
        )
        if not stops_halted:
            names = metric_names(manifest.task, steps_of(config), has_halted=config.evaluation.reports_halted)
            assert sorted(found.metrics) == sorted(names), "an evaluation reports what is announced"
        return found

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))
