"""What every network keeps, whatever its architecture: `CHECKS`, each a function of a network's configuration.

The batch is small and drawn from a fixed seed; a check takes as long as a few steps of the network that is configured.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.architectures import AnyNetwork
from trm.config.data import DataConfig
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.contracts.rules import require
from trm.data.batches.keyed_random import device_keys
from trm.data.batches.plan import Batch
from trm.kernels.build import why_missing
from trm.models import halting
from trm.models.build import build_network, from_published, to_published
from trm.models.counting import row_cost, tensor_sizes
from trm.models.network import Draws, Latents, Network, Output
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.search.knobs.constraint_names import names_of
from trm.training.loop import take_step
from trm.training.state import TrainingState

SHAPE = DataShape(seq_len=9, vocab_size=6, num_puzzle_identifiers=5)
ROWS = 6
EVERY_ROW = torch.arange(ROWS)
RESUMED_STEPS = 2
FLOPS_TOLERANCE = 0.02
LEAST_MEMORY_SHARE = 0.2
"""Of the predicted activations, what is at least kept: a prediction far above the truth packs too few trials on a device."""
FUSED_TOLERANCE = 1e-3
"""Relative difference of what kernels and tensors compute in float32; both round, in another order."""


def check_outputs(config: AnyNetwork) -> None:
    """A step gives logits and the halting pair of every row, and the latents that it was given, detached, by the same names."""
    network = _network(config)
    latents, output = _step(network, _start(network))
    start = _start(network)
    reserved = sorted(set(start) & set(halting.SLOT_FIELDS))
    require(not reserved, f"latents must have names of their own, got {reserved}", remedy="rename them")
    require(
        list(start) == list(latents),
        f"forward must return the latents of initial_latents in their order, got {list(latents)} for {list(start)}",
        remedy="carry the same latents from step to step",
    )
    sizes = {name: (tuple(start[name].shape), start[name].dtype) for name in start}
    found = {name: (tuple(value.shape), value.dtype) for name, value in latents.items()}
    require(sizes == found, f"latents must keep shape and type, {found} became of {sizes}", remedy="return them as they came")
    attached = [name for name, value in latents.items() if value.requires_grad]
    require(not attached, f"new latents must be detached, {attached} are not", remedy="return latent.detach()")
    wanted = {"logits": (ROWS, SHAPE.seq_len, SHAPE.vocab_size), "q_halt": (ROWS,), "q_continue": (ROWS,)}
    for name, size in wanted.items():
        got = tuple(getattr(output, name).shape)
        require(got == size, f"{name} must be {size}, got {got}", remedy="see trm.models.network.Output")
    require(output.q_halt.dtype in (torch.float32, torch.float64), f"q_halt is {output.q_halt.dtype}", remedy="make it float32")


def check_sizes(config: AnyNetwork) -> None:
    """Parameters and saved buffers have the names and shapes that arithmetic says without building the network."""
    network, told = _network(config), tensor_sizes(config, SHAPE)
    parameters = {name: tuple(value.shape) for name, value in network.named_parameters()}
    buffers = {name: tuple(value.shape) for name, value in network.state_dict().items() if name not in parameters}
    for what, found, wanted in (("weights", parameters, told.weights), ("buffers", buffers, told.buffers)):
        differing = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        require(
            not differing,
            f"the sizes of {what} must be told as they are: of {', '.join(differing)} told {[wanted.get(n) for n in differing]}, "
            f"built {[found.get(n) for n in differing]}",
            remedy="make the arithmetic of sizes say what is built",
        )


def check_determinism(config: AnyNetwork) -> None:
    """A seed means one network and one answer, another seed another network; no global generator is drawn from."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first, second, third = (_network(config, seed=seed) for seed in (1, 1, 2))
    state, again = first.state_dict(), second.state_dict()
    require(_equal(state, again), "a seed must mean one network, got two", remedy="draw weights from the generator alone")
    require(not _equal(state, third.state_dict()), "another seed must mean other weights", remedy="draw from the generator")
    answers = [_flat(*_step(network, _start(network))) for network in (first, second)]
    require(_equal(*answers), "a step must repeat to the bit, and did not", remedy="draw nothing within a step")
    is_untouched = torch.equal(before[0], torch.get_rng_state())
    is_untouched &= np.array_equal(before[1], np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    require(is_untouched, "building and stepping must leave the global generators alone", remedy="draw from the generator given")


def check_rows_are_apart(config: AnyNetwork) -> None:
    """Permuting the rows of a batch permutes its outputs, and a row alone gets what it gets among others."""
    network = _network(config, dtype=torch.float64)
    together = _flat(*_step(network, _start(network)))
    for rows in (torch.tensor([3, 0, 5, 1, 2, 4]), torch.tensor([2])):
        chosen = _flat(*_step(network, _start(network, rows), rows))
        for name, value in chosen.items():
            require(
                torch.allclose(value, together[name][rows], rtol=1e-9, atol=1e-9),
                f"a row must see nothing of the others: {name} of rows {rows.tolist()} is another among {ROWS}",
                remedy="mix nothing across the batch",
            )


def check_carry(config: AnyNetwork) -> None:
    """Slots that halted, and only they, start afresh: their next step is that of a fresh puzzle, the others go on."""
    network = _network(config, dtype=torch.float64)
    inputs, _ = _question(network, EVERY_ROW)
    worn, _ = _step(network, _start(network))
    halted = torch.tensor([index % 2 == 0 for index in range(ROWS)])
    carry = halting.initial_carry(network, ROWS, SHAPE.seq_len, "cpu")
    held = halting.Carry(worn, carry.steps + 1, halted, inputs, inputs, carry.puzzle_identifiers)
    filled = halting.refill(held, inputs, inputs, carry.puzzle_identifiers, network, *_draws(network, EVERY_ROW))
    fresh, gone_on = (_step(network, latents)[1].logits for latents in (_start(network), worn))
    mixed = _step(network, filled.latents)[1].logits
    require(
        torch.allclose(mixed[halted], fresh[halted], rtol=1e-9, atol=1e-9),
        "a halted slot must start from the initial latents, and does not",
        remedy="keep all that a slot carries in its latents",
    )
    require(
        torch.allclose(mixed[~halted], gone_on[~halted], rtol=1e-9, atol=1e-9),
        "a slot that did not halt must go on from its latents, and does not",
        remedy="keep all that a slot carries in its latents",
    )


def check_types(config: AnyNetwork) -> None:
    """A seed means the same weights in every type; float32 follows float64 to rounding."""
    exact, rounded = _network(config, dtype=torch.float64), _network(config)
    pairs = zip(rounded.parameters(), exact.parameters(), strict=True)
    require(
        all(one.dtype == torch.float32 and torch.equal(one.double(), other) for one, other in pairs),
        "weights must be float32, in float64 the same values",
        remedy="draw in float32 (trm.models.initial)",
    )
    answers = [_step(network, _start(network))[1] for network in (exact, rounded)]
    error = _difference(answers[1].logits, answers[0].logits)
    require(error < FUSED_TOLERANCE, f"float32 must follow float64, logits are off by {error:.1e}", remedy="compute in dtype")


def check_flops(config: AnyNetwork) -> None:
    """FLOPs of a row, with gradient and without, are what torch counts of tensors, within 2 %."""
    network, told = _network(config), row_cost(config, SHAPE)
    for is_trained, flops in ((True, told.train_flops), (False, told.forward_flops)):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.set_grad_enabled(is_trained):
            _, output = _step(network, _start(network), requires_grad=is_trained)
            if is_trained:
                _objective(output).backward()  # type: ignore[no-untyped-call]
        counted = counter.get_total_flops() / ROWS
        what = "train" if is_trained else "forward"
        require(
            abs(flops - counted) <= FLOPS_TOLERANCE * counted,
            f"{what} FLOPs of a row must be within 2 % of torch's count {counted:.4g}, told {flops:.4g}",
            remedy="make the arithmetic of cost count what is computed",
        )


def check_memory(config: AnyNetwork) -> None:
    """What autograd keeps for the backward pass is at most what is predicted, and no small part of it."""
    network, kept = _network(config), dict[int, int]()

    def note(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        _, output = _step(network, _start(network), requires_grad=True)
        objective = _objective(output)
    for tensor in (*network.parameters(), *network.buffers()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    assert objective.requires_grad, "the network is trained"
    predicted, found = ROWS * row_cost(config, SHAPE).activation_bytes, sum(kept.values())
    require(
        LEAST_MEMORY_SHARE * predicted <= found <= predicted,
        f"activations must be predicted: {predicted} bytes told, {found} kept for {ROWS} rows",
        remedy="make the arithmetic of memory say what is kept",
    )


def check_published_names(config: AnyNetwork) -> None:
    """Weights and puzzle table go to published names and come back to the bit, whatever wrapping put before the names."""
    network = _network(config)
    table = PuzzleEmbedding(config, SHAPE).weight + 1.0 if config.puzzle_ndim else None
    for prefix in ("_orig_mod.model.inner.", "module.", ""):
        published = to_published(network.state_dict(), table, config, prefix=prefix)
        state, rows = from_published(published, config, SHAPE)
        require(_equal(state, network.state_dict()), f"weights must come back from {prefix}*", remedy="name every tensor once")
        is_there = (rows is None) == (table is None) and (rows is None or torch.equal(rows, table))  # type: ignore[arg-type]
        require(is_there, f"the puzzle table must come back from {prefix}*", remedy="name it puzzle_emb.weights")


def check_fused(config: AnyNetwork) -> None:
    """What kernels compute of it, outputs and gradients, is what tensors do, to rounding. Nothing where it has none."""
    if why_missing() is not None or config.forward_dtype not in ("auto", "float32"):
        return
    fused = _network(config, is_fused=True)
    if not fused.is_fused:
        return
    found, wanted = (_with_gradients(network) for network in (fused, _network(config)))
    for name, value in wanted.items():
        error = _difference(found[name], value)
        require(error <= FUSED_TOLERANCE, f"kernels must compute what tensors do: {name} is off by {error:.1e}", remedy="mend them")


def check_resume(config: AnyNetwork) -> None:
    """Steps, a checkpoint, and the same steps from it end in the same bits as all steps at once."""
    run = _run(config)
    whole, half = (_state(run) for _ in range(2))
    _take(whole, 0, 2 * RESUMED_STEPS)
    _take(half, 0, RESUMED_STEPS)
    with tempfile.TemporaryDirectory() as folder:
        half.metrics.flush(half.gang)
        half.save(Path(folder) / "half")
        resumed = TrainingState.load(Path(folder) / "half", run, SHAPE, max_steps=2 * RESUMED_STEPS)
    _take(resumed, RESUMED_STEPS, 2 * RESUMED_STEPS)
    for file, tensors in whole.files_to_save().items():
        again = resumed.files_to_save()[file]
        differing = [name for name, value in tensors.items() if not torch.equal(value, again[name])]
        require(not differing, f"a resumed run must be the same: {differing} of {file} differ", remedy="keep all state in tensors")


def check_configuration(config: AnyNetwork) -> None:
    """The configuration survives a file, counts in the run's digest by what decides its result, and says how deep it is."""
    run = _run(config)
    again = RunConfig.model_validate_json(run.model_dump_json())
    require(again.model == config, f"a file must give {config!r} back, got {again.model!r}", remedy="use plain fields")
    require(again.network_digest() == run.network_digest(), "a digest must follow from the values", remedy="mend deciding_values")
    recursion = config.recursion
    require(names_of(run)["depth"] == recursion.depth, "depth is the recursion's", remedy="say it by `recursion`")
    blocks = sum(config.layers_of(call.network) for call in recursion.calls)
    require(
        config.effective_depth == blocks >= 1, f"a row passes {blocks} blocks, not {config.effective_depth}", remedy="count calls"
    )
    if recursion.depth > 1:
        names = [latent.name for latent in recursion.latents]
        carried = list(_network(config).initial_latents(1))
        require(
            names == carried, f"a recursion's latents must be those carried, {names} are not {carried}", remedy="name them alike"
        )


CHECKS: tuple[Callable[[AnyNetwork], None], ...] = (
    check_outputs,
    check_sizes,
    check_determinism,
    check_rows_are_apart,
    check_carry,
    check_types,
    check_flops,
    check_memory,
    check_published_names,
    check_fused,
    check_resume,
    check_configuration,
)
"""All that a network keeps."""


def _network(config: AnyNetwork, *, dtype: torch.dtype = torch.float32, seed: int = 1, is_fused: bool = False) -> Network:
    return build_network(config, SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(seed), is_fused=is_fused)


def _question(network: Network, rows: Tensor, *, requires_grad: bool = False) -> tuple[Tensor, Tensor | None]:
    """Inputs and puzzle rows of some rows of the one batch that all checks ask about."""
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randint(0, SHAPE.vocab_size, (ROWS, SHAPE.seq_len), generator=generator, dtype=torch.int32)[rows]
    if not network.config.puzzle_ndim:
        return inputs, None
    stored = next(network.parameters()).dtype
    values = torch.randn(ROWS, network.config.puzzle_ndim, generator=generator, dtype=torch.float64)[rows]
    return inputs, values.to(stored).requires_grad_(requires_grad)


def _draws(network: Network, rows: Tensor) -> tuple[Draws, ...]:
    """What some rows draw from in training, as the last argument of a network that draws then."""
    if not network.config.draws_in_training:
        return ()
    return (Draws(torch.from_numpy(device_keys(3, 0, rows.numpy())), is_training=True),)


def _start(network: Network, rows: Tensor = EVERY_ROW) -> Latents:
    return network.starts(len(rows), *(_draws(network, rows) or (None,)))


def _step(network: Network, latents: Latents, rows: Tensor = EVERY_ROW, *, requires_grad: bool = False) -> tuple[Latents, Output]:
    inputs, puzzle_rows = _question(network, rows, requires_grad=requires_grad)
    result: tuple[Latents, Output] = network(latents, inputs, puzzle_rows, *_draws(network, rows))
    return result


def _objective(output: Output) -> Tensor:
    """What is differentiated in place of a loss: every output counts."""
    answers = torch.stack([logits.float().square().mean() for logits in (*output.earlier, output.logits)])
    return answers.sum() + output.q_halt.sum() + output.q_continue.sum()


def _flat(latents: Latents, output: Output) -> dict[str, Tensor]:
    earlier = {f"logits of cycle {number}": logits for number, logits in enumerate(output.earlier)}
    return {**latents, **earlier, "logits": output.logits, "q_halt": output.q_halt, "q_continue": output.q_continue}


def _with_gradients(network: Network) -> dict[str, Tensor]:
    """Outputs of a step, and gradients of the weights."""
    latents, output = _step(network, _start(network), requires_grad=True)
    _objective(output).backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {**_flat(latents, output), **gradients}


def _difference(found: Tensor, true: Tensor) -> float:
    return float((found.detach().double() - true.detach().double()).norm() / true.detach().double().norm().clamp(min=1e-9))


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def _run(config: AnyNetwork) -> RunConfig:
    training = TrainingConfig(global_batch_size=ROWS, steps=2 * RESUMED_STEPS)
    return RunConfig(data=DataConfig(folder="contract"), model=config, training=training)


def _state(run: RunConfig) -> TrainingState:
    return TrainingState(run, SHAPE, max_steps=2 * RESUMED_STEPS)


def _take(state: TrainingState, first: int, until: int) -> None:
    """Steps on random puzzles, each a function of its number."""
    for step in range(first, until):
        draws = np.random.default_rng(step)
        inputs, labels = draws.integers(1, SHAPE.vocab_size, (2, ROWS, SHAPE.seq_len), dtype=np.int32)
        take_step(state, Batch(inputs, labels, draws.integers(0, SHAPE.num_puzzle_identifiers, ROWS, dtype=np.int32)))
