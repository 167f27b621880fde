"""Random draws on the device that are functions of their keys: no generator remembers, nothing is asked of the host.

A key is 64 bits, one a row of the batch, which the host makes of seed, stream, step and slot (`device_keys` of
`trm.data.batches.keyed_random`). Place n of draw d is output d * 2^40 + n of the SplitMix64 that the key seeds (Steele, Lea, Flood,
Fast splittable pseudorandom number generators, 2014; it passes BigCrush). Its state is a counter, so any place is computed by
itself, 64 bits of it in a dozen operations on tensors; Philox4x32-10, whose products are of 32 by 32 bits, would need nine times as
many. Integers wrap around on processors as on CUDA, and normals are looked up in a table, so both draw the same bits.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from trm.models.initial import TRUNCATION

START, DROPOUT, PATH, CARRY = (purpose << 20 for purpose in range(4))
"""Number of a purpose's first draw: starts of latents, a call's blocks, calls, latents that are carried."""
PLACE_BITS = 40
"""A draw has so many places at most, as a power of two; a key has 2^24 draws."""
QUANTILES = 1 << 16
"""Values that a normal draw takes, equally likely: finer than bfloat16 tells apart; none lies beyond 4.4 sigma."""
_WORD = 1 << 64
_INCREMENT, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Of SplitMix64: what its state grows by (odd, 2^64 over the golden ratio), and the factors of its finaliser."""


def derived(keys: Int64[Tensor, "rows"], number: int) -> Int64[Tensor, "rows"]:
    """Other keys for a part of what `keys` are for, one for each number; their draws are apart from all of theirs."""
    return _opaque_derived(keys, number) if torch.compiler.is_compiling() else _derived(keys, number)


def normals(
    keys: Int64[Tensor, "rows"], draw: int, size: tuple[int, int], quantiles: Float[Tensor, "values"], *, is_turned: bool = False
) -> Float[Tensor, "*shape"]:
    """Draws from `normal_quantiles` or `truncated_quantiles`, (rows, tokens, width); `is_turned`: as (tokens, rows, width)."""
    made = _opaque_ranks if torch.compiler.is_compiling() else _ranks
    ranks = made(keys, draw, size[0], size[1], is_turned)
    return quantiles.index_select(0, ranks.flatten()).view(ranks.shape)


def dropped(
    keys: Int64[Tensor, "rows"], draw: int, size: tuple[int, int], rate: float, *, is_turned: bool = False
) -> Bool[Tensor, "*shape"]:
    """True at a place with probability `rate` (to 2^-32), shaped as `normals`."""
    made = _opaque_is_below if torch.compiler.is_compiling() else _is_below
    return made(keys, draw, size[0], size[1], round(rate * (1 << 32)) - (1 << 31), is_turned)


def normal_quantiles(device: torch.device | str = "cpu") -> Float[Tensor, "values"]:
    """The standard normal as equally likely values, ascending, (65536,) float32, of mean 0 and variance 1."""
    return _quantiles(0.0, device)


def truncated_quantiles(device: torch.device | str = "cpu") -> Float[Tensor, "values"]:
    """The normal cut at 2 sigma and widened to variance 1, which initial vectors are of, as `normal_quantiles`."""
    return _quantiles(0.5 * math.erfc(TRUNCATION / math.sqrt(2)), device)


def _quantiles(tail: float, device: torch.device | str) -> Tensor:
    """Of what is left of the standard normal without both tails, each of probability `tail`."""
    ranks = (torch.arange(QUANTILES // 2, dtype=torch.float64) + 0.5) / QUANTILES
    lower = torch.special.ndtri(tail + ranks * (1 - 2 * tail))
    lower /= lower.square().mean().sqrt()
    return torch.cat((lower, -lower.flip(0))).float().to(device)


def _derived(keys: Tensor, number: int) -> Tensor:
    return _scrambled(_scrambled(keys + _signed(_INCREMENT * (number + 1))) ^ keys)


def _ranks(keys: Tensor, draw: int, tokens: int, width: int, is_turned: bool) -> Tensor:
    """Which of the quantiles is drawn, int32."""
    words = _bits(keys, draw, tokens, -(-width // 4), is_turned).view(torch.int16)[..., :width]
    return words.to(torch.int32).add_(QUANTILES // 2)


def _is_below(keys: Tensor, draw: int, tokens: int, width: int, bound: int, is_turned: bool) -> Tensor:
    """Whether what is drawn of all int32 is less than a bound."""
    return _bits(keys, draw, tokens, -(-width // 2), is_turned).view(torch.int32)[..., :width] < bound


def _bits(keys: Tensor, draw: int, tokens: int, groups: int, is_turned: bool) -> Tensor:
    """64 bits for every place of (rows, tokens, groups), int64; or turned."""
    first = _signed(((draw << PLACE_BITS) + 1) * _INCREMENT)
    counted = (torch.arange(tokens * groups, device=keys.device) * _signed(_INCREMENT) + first).view(tokens, groups)
    return _scrambled(keys[:, None] + counted[:, None] if is_turned else keys[:, None, None] + counted)


def _scrambled(state: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        state.bitwise_xor_((state >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(factor))
    return state.bitwise_xor_((state >> 31).bitwise_and_((1 << 33) - 1))


def _signed(number: int) -> int:
    """The number of 64 signed bits that is `number` modulo 2^64."""
    return (number + _WORD // 2) % _WORD - _WORD // 2


# Compiled code is handed what is drawn: torch's compiler counts in numbers that do not wrap around (OverflowError, or other bits),
# so for it these are operators without an inside.
_opaque_derived = torch.library.custom_op("trm::derived_keys", _derived, mutates_args=())
_opaque_ranks = torch.library.custom_op("trm::drawn_ranks", _ranks, mutates_args=())
_opaque_is_below = torch.library.custom_op("trm::drawn_below", _is_below, mutates_args=())


@_opaque_derived.register_fake
def _(keys: Tensor, number: int) -> Tensor:
    return torch.empty_like(keys)


@_opaque_ranks.register_fake
def _(keys: Tensor, draw: int, tokens: int, width: int, is_turned: bool) -> Tensor:
    return keys.new_empty(_shape(keys, tokens, width, is_turned), dtype=torch.int32)


@_opaque_is_below.register_fake
def _(keys: Tensor, draw: int, tokens: int, width: int, bound: int, is_turned: bool) -> Tensor:
    return keys.new_empty(_shape(keys, tokens, width, is_turned), dtype=torch.bool)


def _shape(keys: Tensor, tokens: int, width: int, is_turned: bool) -> tuple[int, int, int]:
    return (tokens, len(keys), width) if is_turned else (len(keys), tokens, width)
