"""Names of what slots carry where a puzzle has several hypotheses. Imports no torch, so that costs can ask."""

from collections.abc import Sequence


def own_latents(names: Sequence[str]) -> tuple[str, ...]:
    """Latents that each hypothesis has its own of: all but the answer, which comes first; where it is the only one, the answer."""
    return tuple(names[1:]) or tuple(names)


def latent_of(name: str, hypothesis: int) -> str:
    """Under which name slots carry a latent of a hypothesis: the first has the network's names."""
    return f"{name}.{hypothesis}" if hypothesis else name
