"""A sweep of fine-tunings of published weights: killed, resumed to the same facts, its winner written as it came."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bad_input_cases import run
from crash_cases import SPACE, check_replay, check_whole, events_of, facts
from rayless import Kill, Killed, Life, Nursery

from trm.config.networks import DataShape
from trm.config.recursive_networks import TrmConfig
from trm.models.arithmetic import TABLE_KEY
from trm.models.build import build_network, to_published
from trm.models.counting import network_sizes
from trm.search.journal.events import Asked

TRIALS = 6
MODEL = TrmConfig(
    mlp_t=True, pos_encodings="none", puzzle_emb_len=1, halt_max_steps=2, H_cycles=1, L_layers=1, L_cycles=1, hidden_size=8
)
SHAPE = DataShape(16, 6, 1)
START = "\n  start: {from: weights.pt, puzzle_embedding: zero}"
KNOBS = """search:
  optim.trained: {type: choice, values: [all, heads]}
  start.heads: {type: choice, values: [keep, fresh]}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    storage = tmp_path_factory.mktemp("runs")
    network = build_network(MODEL, SHAPE, dtype=torch.float32)
    table = torch.ones(network_sizes(MODEL, SHAPE)[TABLE_KEY])
    torch.save(to_published(dict(network.state_dict()), table, MODEL), storage / "weights.pt")
    before, _, after = SPACE.partition("search:\n")
    text = f"{before.rstrip()}{START}\n{KNOBS}{after}"
    for old, new in (
        ("  model.hidden_size: {type: choice, values: [8, 16]}\n  model.L_cycles: {type: int, low: 1, high: 3}\n", ""),
        ("L_layers: 1}", "L_layers: 1, L_cycles: 1, hidden_size: 8}"),
        ("per_trial: 4.0e8", "per_trial: 1.0e8"),
    ):
        assert old in text
        text = text.replace(old, new)
    (storage / "tune.yaml").write_text(text)
    nursery = Nursery(storage / "log")
    yield Killed(nursery, storage / "tune.yaml", storage, ("--trials", str(TRIALS)))
    nursery.close()


def test_it_is_killed_resumed_exported_and_guarded(killed: Killed, tmp_path: Path) -> None:
    """All of it in one test, for its sweep is what takes time."""
    weights, folder = killed.storage / "weights.pt", killed.storage / "killed"
    assert killed.run("whole", [None]) == 1
    assert killed.run("killed", [Kill("event", 4, "torn"), Kill("checkpoint", 2, "before"), None]) == 3
    check_replay(folder)
    check_whole(folder, TRIALS)
    assert facts(folder) == facts(killed.storage / "whole")
    heads = {event.trial: event.params["start.heads"] for event in events_of(folder) if isinstance(event, Asked)}
    notes = {int(path.parent.name): path.read_text() for path in folder.glob("trials/*/start.txt")}
    assert notes.keys() == heads.keys()
    assert {("answer_head (as start.heads says)" in notes[trial]) == (kind == "fresh") for trial, kind in heads.items()} == {True}

    out = tmp_path / "winner.pt"
    assert run("export_weights", folder, "--out", out) == 0
    there, here = (torch.load(path, weights_only=True) for path in (weights, out))
    assert {key: value.shape for key, value in here.items()} == {key: value.shape for key, value in there.items()}

    again = (str(killed.space), "--storage", str(killed.storage), "--name", "killed", "--resume", "--trials", str(TRIALS + 1))
    held = weights.read_bytes()
    weights.write_bytes(held + b"\0")
    assert killed.nursery.live(Life(again)) == 2
    assert "trials start from the weights that they began with" in killed.nursery.output()
    weights.unlink()
    assert killed.run("killed", [None]) == 1, "every trial has a checkpoint: nothing of the weights is needed any more"
