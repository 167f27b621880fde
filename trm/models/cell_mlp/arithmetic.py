"""Sizes and cost of the recursion per cell, from its configuration alone (no torch)."""

from itertools import pairwise

from trm.config.grid_networks import CellMlpConfig
from trm.config.grids import width_of_rows
from trm.config.networks import DataShape
from trm.models.arithmetic import BACKWARD_FORWARDS, FLOAT_BYTES, RowCost, Sizes, TensorSizes
from trm.models.cnn.arithmetic import REACH, convolution_sizes


def grid_width(config: CellMlpConfig, shape: DataShape) -> int:
    """Cells in a row of the puzzle; ConfigError where convolutions need it and it has no such rows."""
    if not config.convolutions:
        return 1
    return width_of_rows(config.grid_width, shape, of="cell_mlp with convolutions", instead="set convolutions: 0")


def weight_sizes(config: CellMlpConfig, tokens: int, classes: int) -> Sizes:
    """Shape of every trained parameter of a network that reads so many tokens and tells so many classes apart."""
    width, question, answer = config.hidden_size, config.question_size, config.answer_size
    before: dict[str, tuple[int, ...]] = {"question_embedding": (tokens, question), "question_bias": (question,)}
    if config.convolutions:
        before = convolution_sizes((tokens, *(question,) * config.convolutions))
    after = {
        "answer_embedding": (classes, answer),
        "update_in": (2 * width, width + question + answer),
        "update_out": (width, 2 * width),
        "answer_head_in": (width, width + answer),
        "answer_head_out": (classes, width),
    }
    named = {f"{name}.weight": size for name, size in after.items() if name != "answer_embedding"}
    biases = {f"{name}.bias": (size[0],) for name, size in after.items() if name != "answer_embedding"}
    return before | {"answer_embedding": after["answer_embedding"]} | named | biases


def tensor_sizes(config: CellMlpConfig, shape: DataShape) -> TensorSizes:
    """Shape of every trained parameter, and of the vector that latents start from."""
    grid_width(config, shape)  # refused before anything is built
    return TensorSizes(weight_sizes(config, shape.vocab_size, shape.vocab_size), {"z_init": (config.hidden_size,)})


def row_cost(config: CellMlpConfig, shape: DataShape) -> RowCost:
    """What one row costs in one supervision step: the last update of the latent and the answer are differentiated."""
    width, question, answer = config.hidden_size, config.question_size, config.answer_size
    cells, classes, value = shape.seq_len, shape.vocab_size, FLOAT_BYTES[config.forward_dtype]
    chain = (classes, *(question,) * config.convolutions)
    seen = [2.0 * cells * REACH**2 * a * b for a, b in pairwise(chain)]
    told = 2.0 * cells * classes * answer  # the last answer, softly embedded
    update = 2.0 * cells * 2 * width * (width + question + answer + width)
    head_in, head_out = 2.0 * cells * width * (width + answer), 2.0 * cells * width * classes
    once = sum(seen) + told + update + head_in + head_out
    forward = once + (config.L_cycles - 1) * update
    train = forward + BACKWARD_FORWARDS * once - told - (seen[0] if seen else 0.0)  # neither tokens nor answer have a gradient
    held = (1 + config.convolutions) * question + classes * (1 + bool(config.convolutions)) + 2 * answer
    held += (2 * width + question + 2 * answer) + 2 * width + (width + answer) + 2 * width
    carry = cells * (width + classes) * value + 8 * cells + 9
    return RowCost(
        train_flops=train,
        forward_flops=forward,
        carry_bytes=carry,
        activation_bytes=cells * held * value + 2 * carry + 4 * 8 * cells * classes,
        weight_gradient_flops=once,
        head_learning_flops=head_in + 2 * head_out,
        latent_bytes=cells * width * value,
    )
