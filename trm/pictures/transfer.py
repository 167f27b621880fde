"""A picture of whether an earlier sweep's ranking held."""

from collections.abc import Sequence
from pathlib import Path

from trm.pictures.canvas import PLAIN, picture
from trm.search.findings.transfer import Transfer


def draw_transfer(transfers: Sequence[Transfer], path: Path, *, metric: str) -> None:
    """Write `path` (PNG): for each earlier sweep, places there against scores here, a dot a configuration that both tried."""
    told = [(transfer, transfer.main) for transfer in transfers if transfer.main is not None]
    if not told:
        return
    with picture(path, size=(1.5 + 4.5 * len(told), 4.5), title="the same configurations in an earlier sweep and here") as figure:
        for axes, (transfer, main) in zip(figure.subplots(1, len(told), squeeze=False)[0], told, strict=True):
            points = transfer.points(main.rung)
            axes.plot([place for place, _ in points], [score for _, score in points], "o", color=PLAIN, markersize=7, alpha=0.7)
            axes.set_title(f"{main.agreement.verdict} ({len(points)} configurations)", fontsize=10)
            axes.set_xlabel(f"place in {transfer.prior.name}, 1 is the best")
            axes.set_ylabel(f"{metric} here, at {main.share:.3g} of a whole trial")
