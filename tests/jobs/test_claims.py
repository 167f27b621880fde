"""Ours beside what others published: intervals by the number that is counted, and what cannot be held against ours."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from trm.config.claims import read_claims
from trm.errors import ConfigError
from trm.jobs.claims import run_claims
from trm.stats.intervals import wilson

CLAIM = "{by: me, source: here, task: maze, data: [mine], split: test, metric: exact_accuracy, share: 0.5, count: 100"


def evaluated(folder: Path, data: str, task: str, *, puzzles: int = 1000, exact: float = 0.8, **report: Any) -> str:
    folder.mkdir()
    common = {
        "split": "test",
        "data": {"name": data, "task": task},
        "supervision_steps": 16,
        "stops_halted": False,
        "counts": {"puzzles": puzzles},
        "metrics": {"exact_accuracy": exact},
        "config": {"evaluation": {"rollouts": 1}},
    }
    (folder / "report.json").write_text(json.dumps(common | report))
    return str(folder)


def votes(*curve: int) -> dict[str, Any]:
    def passes(share: float) -> dict[str, Any]:
        return {k: {"by_task": {"share": share, "count": 400}, "by_pair": {"share": share, "count": 419}} for k in ("1", "2")}

    points = [{"augmentations": level, "pass": passes(0.2 + level / 10000)} for level in curve]
    return {"pass": points[-1]["pass"], "curve": points}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "claims.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        (83.67, 1000, 81.25, 85.83),
        (43.00, 400, 38.24, 47.90),
        (43.00, 419, 38.34, 47.78),
        (52.75, 400, 47.85, 57.59),
        (29.25, 400, 25.01, 33.89),
    ],
)
def test_intervals_are_those_of_the_true_number(share: float, count: int, low: float, high: float) -> None:
    found = wilson(share / 100, count)
    assert (round(100 * found.low, 2), round(100 * found.high, 2)) == (low, high)


def test_what_is_shipped_has_the_published_shares() -> None:
    shares = {(claim.by, claim.data[0], claim.metric, claim.augmentations): claim.share for claim in read_claims(None)}
    assert shares["paper, mixer", "sudoku_extreme", "exact_accuracy", None] == 0.874
    assert shares["paper, attention", "maze_hard_published", "exact_accuracy", None] == 0.853
    assert [shares["paper, attention", data, "pass@2", 1000] for data in ("arc1", "arc2")] == [0.446, 0.078]
    assert [shares["Roye-Azar, single pass", "arc1", "pass@1", 0], shares["Roye-Azar, 1,000 votes", "arc1", "pass@1", 1000]] == [
        *(0.2925, 0.4)
    ]
    assert all(claim.count >= 100 for claim in read_claims(None))


def test_a_claim_of_the_same_protocol_stands_beside_ours_and_another_is_grey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluated(tmp_path / "ours", "maze_hard_published", "maze")
    assert run_claims([folder], None, None) == 0
    rows = {row["by"]: row for row in rows_of(tmp_path / "ours")}
    assert rows["alphaXiv"]["is_comparable"] == "True"
    assert [round(float(rows["alphaXiv"][end]), 4) for end in ("low", "high")] == [0.8125, 0.8583]
    assert rows[folder]["is_ours"] == "True"
    assert (tmp_path / "ours" / "claims.png").read_bytes()[:4] == b"\x89PNG"
    assert "83.67 % (81.25 to 85.83 of 1,000)" in capsys.readouterr().out

    other = evaluated(tmp_path / "other", "maze_hard_published", "maze", puzzles=100, split="validation", supervision_steps=8)
    run_claims([other], None, None)
    rows = {row["by"]: row for row in rows_of(tmp_path / "other")}
    assert rows["alphaXiv"]["why_not"] == "test, ours validation; 16 steps, ours 8"
    broad = evaluated(tmp_path / "broad", "maze_hard_published", "maze", config={"evaluation": {"rollouts": 1, "forms": 8}})
    run_claims([broad], None, None)
    assert {row["why_not"] for row in rows_of(tmp_path / "broad") if row["is_ours"] == "False"} == {"ours is of 8 forms"}
    run_claims([other, folder], None, str(tmp_path))
    assert all(row["is_comparable"] == "True" for row in rows_of(tmp_path)), "of the nearest of ours"


def test_votes_are_held_against_claims_of_so_many_augmentations(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "arc", "arc1_concept", "arc", votes=votes(0, 16, 1000))
    run_claims([folder], None, None)
    ours = {row["metric"]: float(row["share"]) for row in rows_of(tmp_path / "arc") if row["is_ours"] == "True"}
    assert ours == {
        "pass@1 of tasks, 0 augmentations": 0.2,
        "pass@1 of tasks, 1,000 augmentations": pytest.approx(0.3),
        "pass@2 of tasks, 1,000 augmentations": pytest.approx(0.3),
    }
    why = {row["by"]: row["why_not"] for row in rows_of(tmp_path / "arc") if row["is_ours"] == "False"}
    assert why["ARC Prize"] == "semi-private tasks, ours test"
    assert why["Roye-Azar, single pass"] == why["paper, attention"] == ""


def test_what_was_counted_in_two_ways_stands_beside_claims_of_each(tmp_path: Path) -> None:
    """Few votes: those of pass@1 are as a claim has them, those of pass@2 the nearest that there is."""
    run_claims([evaluated(tmp_path / "few", "arc1_concept", "arc", votes=votes(0, 1))], None, None)
    rows = rows_of(tmp_path / "few")
    assert sorted(row["metric"] for row in rows if row["is_ours"] == "True") == [
        "pass@1 of tasks, 0 augmentations",
        "pass@2 of tasks, 1 augmentations",
    ]
    why = {row["by"]: row["why_not"] for row in rows}
    assert (why["Roye-Azar, single pass"], why["paper, attention"]) == ("", "1,000 augmentations, ours 1")


def test_an_ensemble_is_no_networks_own(tmp_path: Path) -> None:
    """Its report has no steps, no curve and no configuration."""
    report = {"split": "test", "data": {"name": "arc1", "task": "arc"}, "networks": 3, "votes": votes(0) | {"curve": []}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    run_claims([str(tmp_path)], None, None)
    rows = rows_of(tmp_path)
    assert {row["metric"] for row in rows if row["is_ours"] == "True"} == {"pass@1 of tasks", "pass@2 of tasks"}
    assert {row["why_not"].rpartition("; ")[2] for row in rows if row["is_ours"] == "False"} == {"ours is an ensemble of 3"}


def test_puzzles_that_nobody_claims_stand_beside_those_of_their_kind(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "s4", "sudoku4x4", "sudoku")
    run_claims([folder], None, None)
    rows = rows_of(tmp_path / "s4")
    assert {row["data"] for row in rows} == {"sudoku_extreme"}
    assert all("other puzzles than ours (sudoku4x4)" in row["why_not"] for row in rows if row["is_ours"] == "False")
    with pytest.raises(ConfigError, match=r"claim of the puzzles that were evaluated: own, claims are of arc1, .*; name a file"):
        run_claims([evaluated(tmp_path / "own", "own", "own")], None, None)


def test_claims_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"claims:\n  - {CLAIM}}}\n")
    run_claims([evaluated(tmp_path / "e", "mine", "maze")], str(tmp_path / "mine.yaml"), None)
    assert [row["by"] for row in rows_of(tmp_path / "e")] == [str(tmp_path / "e"), "me"]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (CLAIM.replace(", count: 100", "") + "}", r"claims\.0\.count"),
        (CLAIM + ", counted: 5}", r"claims\.0\.counted"),
        (CLAIM.replace("0.5", "50") + "}", r"claims\.0\.share"),
        (CLAIM.replace("100", "0") + "}", r"claims\.0\.count"),
        (CLAIM.replace("exact_accuracy", "pass@2") + "}", "pass@K counts tasks or pairs"),
        (CLAIM.replace("exact_accuracy", "accuracy") + "}", r"claims\.0\.metric"),
    ],
)
def test_a_wrong_claim_is_refused_by_name(tmp_path: Path, claim: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"claims:\n  - {claim}\n")
    with pytest.raises(ConfigError, match=message) as error:
        run_claims([str(tmp_path)], str(tmp_path / "mine.yaml"), None)
    assert error.value.remedy


def test_a_folder_that_is_no_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be a folder of an evaluation, with report\.json; evaluate again"):
        run_claims([str(tmp_path)], None, None)
    folder = evaluated(tmp_path / "e", "arc1", "arc", votes={"pass": 3, "curve": []})
    with pytest.raises(ConfigError, match="must be an evaluation as it was written"):
        run_claims([folder], None, None)
    with pytest.raises(ConfigError, match=r"each evaluation is drawn once, .*e is named twice; name it once"):
        run_claims([folder, f"{folder}/"], None, None)
    with pytest.raises(ConfigError, match="--out must be a folder that can be written"):
        run_claims([evaluated(tmp_path / "whole", "arc1", "arc")], None, str(tmp_path / "nowhere"))
