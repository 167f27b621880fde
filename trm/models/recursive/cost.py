"""What a step of a recursive network costs, by arithmetic alone: FLOPs and bytes a row. Imports no torch."""

from collections.abc import Sequence

from trm.config.blocks import RecursiveConfig, swiglu_width
from trm.config.networks import DataShape
from trm.config.recursion import Call
from trm.models.arithmetic import BACKWARD_FORWARDS, FLOAT_BYTES, InnerAnswers, RowCost

HANDWRITTEN_SHARE = 0.8
"""What the CPU's hand-written form keeps of the activations at most (`benchmarks/step/memory.py`)."""
DRAWING_BYTES = 16
"""Of a place while normals are drawn: a quarter of three 64-bit words, an index, a float, and it in the network's type."""


def row_cost(model: RecursiveConfig, shape: DataShape) -> RowCost:
    """What one row costs in one supervision step."""
    return RowCost(
        train_flops_row(model, shape),
        forward_flops_row(model, shape),
        carry_row_bytes(model, shape),
        activation_row_bytes(model, shape),
        HANDWRITTEN_SHARE if has_handwritten_swiglu(model) else 1.0,
        weight_gradient_flops_row(model, shape),
        2 * head_flops_row(model, shape, answers=model.recursion.answers) - head_flops_row(model, shape),
        latent_bytes(model, shape),
        inner_answers(model, shape),
    )


def has_handwritten_swiglu(model: RecursiveConfig) -> bool:
    """Whether the CPU in eager mode goes backward through the published SwiGLU, by `trm.models.cpu_layers`."""
    return model.ffn == "swiglu" and model.activation == "silu"


def train_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """Training FLOPs of one row: calls without gradient, calls with one, and the heads."""
    recursion = model.recursion
    plain = _calls_flops_row(model, shape, recursion.calls[: recursion.plain_calls])
    trained = _calls_flops_row(model, shape, recursion.calls[recursion.plain_calls :])
    trained += head_flops_row(model, shape, answers=recursion.answers)
    return plain + (1 + BACKWARD_FORWARDS) * trained - _unwanted_flops_row(model, shape)


def _unwanted_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """FLOPs that a backward pass saves: gradients of the input of calls whose sources have none (`gradient: last_call`).

    In the plain form: a mixer's backward pass by hand computes them all the same.
    """
    trained = model.recursion.steps[model.recursion.plain_calls :]
    width, length = model.hidden_size, model.puzzle_len + shape.seq_len
    across = 2 * swiglu_width(model.expansion, length) if model.mlp_t else 3 * model.attention_width
    return 2.0 * length * width * across * sum(not step.trained_sources for step in trained)


def weight_gradient_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """FLOPs of one row's gradients of weights: as many as of the products with them."""
    trained = model.recursion.calls[model.recursion.plain_calls :]
    blocks = sum(model.layers_of(call.network) for call in trained)
    products = block_flops_row(model, shape) - (0.0 if model.mlp_t else scores_and_values_flops_row(model, shape))
    return blocks * products + head_flops_row(model, shape, answers=model.recursion.answers)


def inner_answers(model: RecursiveConfig, shape: DataShape) -> InnerAnswers:
    """The answers of all cycles but the last, and what reading one of them takes."""
    recursion = model.recursion
    made = range(len(recursion.cycle), recursion.depth, len(recursion.cycle)) if recursion.answers == 1 else range(0)
    plain = sum(calls <= recursion.plain_calls for calls in made)
    return InnerAnswers(
        plain=plain,
        differentiated=len(made) - plain,
        flops=2.0 * model.hidden_size * shape.seq_len * shape.vocab_size,
        held_bytes=2 * latent_bytes(model, shape) + 4 * 8 * shape.seq_len * shape.vocab_size,
    )


def forward_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """FLOPs of one supervision step of one row without gradient."""
    return _calls_flops_row(model, shape, model.recursion.calls) + head_flops_row(model, shape)


def _calls_flops_row(model: RecursiveConfig, shape: DataShape, calls: Sequence[Call]) -> float:
    return sum(model.layers_of(call.network) for call in calls) * block_flops_row(model, shape)


def block_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """FLOPs of one block on one row."""
    width, length = model.hidden_size, model.puzzle_len + shape.seq_len
    mix = 8.0 * length * width * model.attention_width + scores_and_values_flops_row(model, shape)
    if model.mlp_t:
        mix = 2.0 * 3 * width * length * swiglu_width(model.expansion, length)
    channels = 3 * length * width * swiglu_width(model.expansion, width)
    return mix + 2.0 * channels


def scores_and_values_flops_row(model: RecursiveConfig, shape: DataShape) -> float:
    """FLOPs of one block's attention between its projections on one row, products without weights."""
    return 4.0 * (model.puzzle_len + shape.seq_len) ** 2 * model.attention_width


def head_flops_row(model: RecursiveConfig, shape: DataShape, *, answers: int = 1) -> float:
    """FLOPs of the answer head on the cells, for so many answers, and of the halting head on the first token, one row."""
    halting = 2 if model.halting.learns_halt else 0
    return 2.0 * model.hidden_size * (answers * shape.seq_len * shape.vocab_size + halting)


def latent_bytes(model: RecursiveConfig, shape: DataShape) -> int:
    """Bytes of a latent of one row."""
    return (model.puzzle_len + shape.seq_len) * model.hidden_size * FLOAT_BYTES[model.forward_dtype]


def carry_row_bytes(model: RecursiveConfig, shape: DataShape) -> int:
    """Bytes that one slot carries from step to step: its latents, the puzzle, its counters."""
    return len(model.recursion.latents) * latent_bytes(model, shape) + 2 * 4 * shape.seq_len + 4 + 4 + 1


def gated_arrays(model: RecursiveConfig) -> int:
    """Arrays as wide as the hidden channels that a SwiGLU keeps for the backward pass."""
    if model.ffn == "normed_swiglu":  # what is normed is held in float32
        return 7 if model.forward_dtype == "bfloat16" else 6
    return 5 if model.activation == "relu2" else 4


def activation_row_bytes(model: RecursiveConfig, shape: DataShape) -> int:
    """Predicted bytes of one row at the end of the forward pass: what backward needs of each differentiated call.

    An upper bound, met by the plain form in bfloat16; the CPU's hand-written form keeps about half.
    """
    width, length = model.hidden_size, model.puzzle_len + shape.seq_len
    mix, gated = 9 * length * width, gated_arrays(model)
    if model.mlp_t:
        mix = 3 * length * width + gated * width * swiglu_width(model.expansion, length)
    channels = gated + 2 if model.ffn == "conv_swiglu" else gated
    block = mix + 4 * length * width + channels * length * swiglu_width(model.expansion, width)
    trained = model.recursion.calls[model.recursion.plain_calls :]
    blocks, value = sum(model.layers_of(call.network) for call in trained), FLOAT_BYTES[model.forward_dtype]
    saved = blocks * block * value + _drawn_row_bytes(model, length * width, blocks, len(trained))
    return saved + 2 * carry_row_bytes(model, shape) + 4 * 8 * model.recursion.answers * shape.seq_len * shape.vocab_size


def _drawn_row_bytes(model: RecursiveConfig, places: int, blocks: int, calls: int) -> int:
    """Bytes of one row that draws and relaxation add: masks, what follows them beside what was there, and a draw as it is made.

    `places` are the values of a latent; `blocks` and `calls` those that are differentiated.
    """
    value, added = FLOAT_BYTES[model.forward_dtype], 0
    if model.dropout:
        added += blocks * places * (value + 1)
    if model.path_noise or model.relaxation < 1:
        added += calls * places * value
    return added + DRAWING_BYTES * places if model.draws_in_training else added
