"""The five gauges: what they are set to, and that the dashboard that is shipped draws each of them."""

import json
import re
from pathlib import Path

import pytest
from ray.util.metrics import Gauge, Metric

from tests.terminal.test_progress import folded, snapshot
from tests.tracking.test_updates import whole_sweep
from trm.cluster import gauges as module
from trm.cluster.gauges import SweepGauges
from trm.search.journal.events import LegEnded

DASHBOARD = Path(__file__).parents[2] / "monitoring" / "grafana.json"


def test_gauges_tell_trials_speed_losses_slots_and_best(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [100.0], dict[tuple[str, ...], float]()

    def record(gauge: Gauge, value: float, tags: dict[str, str] | None = None) -> None:
        final = gauge._get_final_tags(tags)
        gauge._validate_tags(final)
        told[(gauge._name, *(final[tag] for tag in gauge._tag_keys))] = value

    monkeypatch.setattr(Metric, "_record", record)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    gauges = SweepGauges("s-1", "exact_accuracy")
    empty, whole = snapshot(folded([]), 1.0), snapshot(folded(whole_sweep()), 200.0)
    gauges.show(empty, 2)
    assert told[("trm_train_flops_per_second", "s-1")] == 0.0
    for status in ("lost", "stalled", "failed"):
        gauges.note(LegEnded(trial=0, rung=0, attempt=0, status=status, steps=3, error="why", at=1.0))  # type: ignore[arg-type]
    gauges.show(whole, 3)
    assert told[("trm_slots", "s-1")] == 2, "it was not due"
    clock[0] += 20.0
    gauges.show(whole, 3)
    assert told[("trm_train_flops_per_second", "s-1")] == pytest.approx(150 * 2e9 / 20.0)
    assert (told[("trm_slots", "s-1")], told[("trm_legs_lost", "s-1")]) == (3, 2)
    assert (told[("trm_trials", "s-1", "finished")], told[("trm_trials", "s-1", "running")]) == (1, 0)
    assert told[("trm_best", "s-1", "exact_accuracy")] == 0.9
    drawn = {name for panel in json.loads(DASHBOARD.read_text())["panels"] for name in re.findall(r"ray_(trm_\w+)", str(panel))}
    assert drawn == {name for name, *_ in told}
