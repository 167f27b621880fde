"""Ours beside what others published: which claims an evaluation can be held against, and why the others not."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm.config.claims import Claim, read_claims
from trm.console.streams import say
from trm.errors import ConfigError
from trm.files.atomic import why_unwritable, write_text_atomic
from trm.files.json_files import read_json
from trm.jobs.evaluation.folder import CLAIMS_PICTURE, CLAIMS_TABLE, REPORT
from trm.pictures.claims import ClaimPanel, ClaimRow, draw_claims
from trm.stats.intervals import wilson
from trm.terminal.command_line import show

AGAIN = "evaluate again with --folder DIR"


@dataclass(frozen=True)
class Ours:
    """A share of an evaluation of ours."""

    folder: str
    data: str
    task: str | None
    """None: reports of before do not say it."""
    split: str
    metric: str
    counts: str
    augmentations: int | None
    """None: of an ensemble, whose members may have had some each; and where none vote."""
    steps: int | None
    """None: of what has none."""
    rollouts: int
    share: float
    count: int
    forms: int = 1
    """Symmetric forms of a puzzle that are asked."""
    stops_halted: bool = False
    networks: int = 1
    """Whose answers vote together."""


def run_claims(folders: Sequence[str], claims: str | None, out: str | None) -> int:
    """Print the table, write picture and table; the exit code. Raises ConfigError for what a person can mend."""
    known = read_claims(claims)
    places = [Path(folder).resolve() for folder in folders]
    if twice := [folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1]:
        raise ConfigError(f"each evaluation is drawn once, {twice[0]} is named twice", remedy="name it once")
    ours = [share for folder in folders for share in _shares(folder, _report(folder))]
    place = Path(out or folders[0])
    if not place.is_dir() or (reason := why_unwritable(place)) is not None:
        told = reason if place.is_dir() else "it is none"
        raise ConfigError(f"--out must be a folder that can be written, got {place} ({told})", remedy="make it, or name another")
    panels = [panel for data in dict.fromkeys(claim.data for claim in known) if (panel := _panel(data, known, ours)) is not None]
    if not panels:
        held, of = sorted({one.data for one in ours}), sorted({name for claim in known for name in claim.data})
        raise ConfigError(
            f"there must be a claim of the puzzles that were evaluated: {', '.join(held)}, claims are of {', '.join(of)}",
            remedy="name a file of claims of your own: --claims FILE.yaml",
        )
    show("\n".join(line for panel in panels for line in _lines(panel)))
    write_text_atomic(place / CLAIMS_TABLE, _table(panels))
    draw_claims(panels, place / CLAIMS_PICTURE)
    say(f"{place} has {CLAIMS_TABLE} and {CLAIMS_PICTURE}")
    return 0


def _report(folder: str) -> dict[str, Any]:
    path = Path(folder) / REPORT
    try:
        return read_json(path, dict, error=ConfigError, remedy=AGAIN)
    except FileNotFoundError:
        raise ConfigError(f"{folder} must be a folder of an evaluation, with {REPORT}", remedy=AGAIN) from None


def _shares(folder: str, report: Mapping[str, Any]) -> list[Ours]:
    """Every share of a report that a claim may be of. ConfigError where it is not as it was written."""
    try:
        return list(_read_shares(folder, report))
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise ConfigError(f"{folder} must be an evaluation as it was written, got {error!r}", remedy=AGAIN) from None


def _read_shares(folder: str, report: Mapping[str, Any]) -> Iterator[Ours]:
    data, votes, asked = report["data"], report.get("votes"), report.get("config", {}).get("evaluation", {})
    common: dict[str, Any] = {
        "folder": folder,
        "data": str(data["name"]),
        "task": data.get("task"),
        "split": str(report["split"]),
        "steps": report.get("supervision_steps"),
        "rollouts": int(asked.get("rollouts", 1)),
        "forms": int(asked.get("forms", 1)),
        "stops_halted": bool(report.get("stops_halted")),
        "networks": int(report.get("networks", 1)),
    }
    if votes is None:
        halted = "_halted" if common["stops_halted"] else ""
        share = float(report["metrics"][f"exact_accuracy{halted}"])
        own: dict[str, Any] = {
            "metric": "exact_accuracy",
            "counts": "puzzles",
            "augmentations": None,
            "count": int(report["counts"]["puzzles"]),
        }
        yield Ours(**common, **own, share=share)
        return
    curve = votes["curve"]
    most = curve[-1]["augmentations"] if curve else None if common["networks"] > 1 else 0
    for augmentations, passes in [*((point["augmentations"], point["pass"]) for point in curve[:-1]), (most, votes["pass"])]:
        for k, each in passes.items():
            for counts, found in (("tasks", each["by_task"]), ("pairs", each["by_pair"])):
                own = {"metric": f"pass@{k}", "counts": counts, "augmentations": augmentations, "count": int(found["count"])}
                yield Ours(**common, **own, share=float(found["share"]))


def _panel(data: tuple[str, ...], claims: Sequence[Claim], ours: Sequence[Ours]) -> ClaimPanel | None:
    """What is said of these puzzles, and what of ours stands beside it; None without any of ours."""
    theirs = [claim for claim in claims if claim.data == data]
    named = {name for claim in claims for name in claim.data}
    own = [one for one in ours if one.data in data or (one.data not in named and one.task == theirs[0].task)]
    shown = [one for one in own if any(_is_way(claim, one) and claim.augmentations == one.augmentations for claim in theirs)]
    for claim in theirs:
        if not any(_is_way(claim, one) for one in shown):  # the nearest there is: the most augmentations
            alike = [one for one in own if _is_way(claim, one)]
            most = max((one.augmentations or 0 for one in alike), default=0)
            shown += [one for one in alike if (one.augmentations or 0) == most]
    if not shown:
        return None
    names = {one.folder: one.folder if one.data in data else f"{one.folder} ({one.data})" for one in shown}
    rows = [_row(names[one.folder], one, is_ours=True) for one in shown]
    for claim in theirs:
        nearest = min(shown, key=lambda one: (not _is_way(claim, one), len(_reasons(claim, one))))
        reasons = _reasons(claim, nearest)
        rows.append(_row(claim.by, claim, why=tuple(reasons), source=claim.source, note=claim.note))
    rows.sort(key=lambda row: (row.metric, -row.share))
    return ClaimPanel(", ".join(data), tuple(rows))


def _is_way(claim: Claim, ours: Ours) -> bool:
    """Whether both count alike."""
    return (claim.metric, claim.counts) == (ours.metric, ours.counts)


def _row(by: str, of: Claim | Ours, **rest: Any) -> ClaimRow:
    voting = "" if of.augmentations is None else f", {of.augmentations:,} augmentations"
    low, high = wilson(of.share, of.count)
    return ClaimRow(
        by, f"{of.metric} of {of.counts}{voting}", of.split, of.share, low, high, of.count, of.steps, of.rollouts, **rest
    )


def _reasons(claim: Claim, ours: Ours) -> list[str]:
    """Why a claim is of something else than ours; none: they can be held against each other."""
    reasons = []
    if ours.data not in claim.data:
        reasons.append(f"other puzzles than ours ({ours.data})")
    elif claim.split != ours.split:
        reasons.append(f"{claim.split}, ours {ours.split}")
    elif claim.count != ours.count and claim.counts == ours.counts:
        reasons.append(f"{claim.count:,} {claim.counts}, ours {ours.count:,}")
    if not _is_way(claim, ours):
        reasons.append(f"{claim.metric} of {claim.counts}, ours {ours.metric} of {ours.counts}")
    elif claim.augmentations != ours.augmentations and ours.networks == 1:
        reasons.append(f"{claim.augmentations or 0:,} augmentations, ours {ours.augmentations or 0:,}")
    if None not in (claim.steps, ours.steps) and claim.steps != ours.steps:
        reasons.append(f"{claim.steps} steps, ours {ours.steps}")
    if claim.rollouts != ours.rollouts:
        reasons.append(f"{claim.rollouts} rollouts, ours {ours.rollouts}")
    if ours.forms > 1:
        reasons.append(f"ours is of {ours.forms} forms")
    if ours.networks > 1:
        reasons.append(f"ours is an ensemble of {ours.networks}")
    if ours.stops_halted:
        reasons.append("ours stops at halts")
    return reasons


def _lines(panel: ClaimPanel) -> list[str]:
    """A line a claim and a line of ours, the best first, for each way to count."""
    width = max(len(row.by) for row in panel.rows)
    lines = [panel.data]
    for metric in dict.fromkeys(row.metric for row in panel.rows):
        lines.append(f"  {metric}")
        for row in (row for row in panel.rows if row.metric == metric):
            told = f"{100 * row.share:6.2f} % ({100 * row.low:.2f} to {100 * row.high:.2f} of {row.count:,})"
            why = f"   not comparable: {'; '.join(row.why)}" if row.why else ""
            lines.append(f"  {'*' if row.is_ours else ' '} {row.by:<{width}}  {told}{why}")
    return [*lines, ""]


def _table(panels: Sequence[ClaimPanel]) -> str:
    """A row a share, for a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns = ("data", "by", "is_ours", "metric", "split", "share", "low", "high", "count", "steps", "rollouts")
    rows.writerow([*columns, "is_comparable", "why_not", "source", "note"])
    for panel in panels:
        for row in panel.rows:
            own = [getattr(row, name) for name in columns[1:]]
            rows.writerow([panel.data, *own, not row.why, "; ".join(row.why), row.source, row.note])
    return text.getvalue()
