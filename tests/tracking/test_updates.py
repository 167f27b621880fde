"""The journal's events become run updates, and an outbox gives them to a store once, whatever the store does."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.config.files import dump_yaml
from trm.console.redaction import redacted
from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, Reported, SweepEnded, SweepStarted
from trm.search.journal.journal import Journal
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.tracking import outbox
from trm.tracking.outbox import Outbox
from trm.tracking.outbox_state import OutboxState
from trm.tracking.pages import Pages
from trm.tracking.store_door import Vanished
from trm.tracking.updates import STATUS_OF_TRIAL, updates_of
from trm.tracking.values import RANK, SWEEP, Held, RunUpdate, held_after, merged


def started(name: str = "s-1") -> SweepStarted:
    return SweepStarted(name=name, seed=1, space_digest="d", versions={"torch": "2.13"}, at=100.0)


def asked(trial: int) -> Asked:
    return Asked(
        trial=trial,
        params={"optim.lr": 1e-3 * (trial + 1), "model.mlp_t": True},
        source="sampler",
        digest=f"digest{trial}",
        seed=7,
        max_steps=100,
        step_flops=2e9,
        params_count=1000,
        at=101.0 + trial,
    )


def leg(trial: int, rung: int, objective: float) -> list[Event]:
    at, steps = 110.0 + 10 * trial + rung, 50 * (rung + 1)
    return [
        LegStarted(trial=trial, rung=rung, attempt=0, until_steps=steps, from_checkpoint=None, at=at),
        LegEnded(
            trial=trial,
            rung=rung,
            attempt=0,
            status="completed",
            objective=objective,
            standard_error=0.01,
            loss=1.5,
            metrics={"exact_accuracy": objective, "examples": 64.0},
            steps=steps,
            train_flops=steps * 2e9,
            train_seconds=3.0,
            checkpoint=f"trials/{trial:04d}/step-{steps}",
            at=at + 0.5,
        ),
    ]


def decided(trial: int, rung: int, status: str) -> Decided:
    return Decided.model_validate({"trial": trial, "rung": rung, "status": status, "reason": "why", "at": 150.0 + trial})


def whole_sweep() -> list[Event]:
    return [
        started(),
        DriverStarted(driver="host:1", fence=1, slots=2, at=100.5),
        asked(0),
        asked(1),
        *leg(0, 0, 0.25),
        decided(0, 0, "paused"),
        *leg(1, 0, 0.75),
        *leg(1, 1, 0.9),
        decided(1, 1, "finished"),
        decided(0, 0, "stopped"),
        Reported(trial=1, rank=1, validation={"exact_accuracy": 0.91}, test={"exact_accuracy": 0.89}, at=190.0),
        SweepEnded(reason="all trials are done", at=200.0),
    ]


def sweep_space(trials: int | None = 9, mode: str = "max", **budget: float) -> SearchSpace:
    """Of the sweeps here: two rungs of 50 and 100 steps."""
    return SearchSpace.model_validate(
        {
            "name": "space",
            "data": {"recipe": "datasets/sudoku4x4.yaml"},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1}},
            "objective": {"metric": "exact_accuracy" if mode == "max" else "loss"},
            "budget": {"trials": trials, "per_trial": 100 * 2e9, "wall_clock_seconds": 1e6, **budget},
            "scheduler": {"type": "asha", "eta": 2, "rungs": 2},
            "resources": {"gpus": 1 if "gpu_hours" in budget else 0},
        }
    )


def state_of(events: Iterable[Event], space: SearchSpace | None = None) -> SweepState:
    state = SweepState(space or sweep_space())
    for event in events:
        state.apply(event)
    return state


def append(path: Path, events: list[Event], mode: str = "max") -> None:
    """More lines of a journal, beside the sweep.yaml that a sweep has before its first."""
    if not (path.parent / "sweep.yaml").exists():
        dump_yaml(path.parent / "sweep.yaml", {"space": sweep_space(mode=mode).model_dump(mode="json")})
    journal = Journal(path)
    journal.append(*events)
    journal.close()


@dataclass
class MemoryStore:
    """Keeps what it is sent as MLflow does: equal points are one, a later status replaces. Calls fail as `failures` says."""

    failures: list[str] = field(default_factory=list)
    points: set[tuple[int | None, str, float, int, float]] = field(default_factory=set)
    values: dict[tuple[int | None, str], str] = field(default_factory=dict)
    runs: dict[int | None, Held] = field(default_factory=dict)
    files_there: dict[str, int] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    sends: int = 0
    notes: list[str] = field(default_factory=list)

    def held(self, sweep: SweepStarted) -> dict[int | None, Held]:
        return dict(self.runs)

    def pages(self, sweep: SweepStarted) -> Pages:
        return Pages("1", "v", {run: f"r{run}" for run in self.runs})

    def describe(self, sweep: SweepStarted, note: str, space: SearchSpace) -> None:
        if note not in self.notes[-1:]:
            self.notes.append(note)

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        failure = self.failures.pop(0) if self.failures else "none"
        if failure == "before":
            raise ConnectionError("the store is away")
        for update in updates:
            if failure == "vanished":
                self.forget(update.trial)
                raise Vanished("a run was deleted")
            self.points |= {(update.trial, p.key, p.value, p.step, p.at) for p in update.points}
            self.values |= {(update.trial, key): value for key, value in (update.params | update.tags).items()}
            if update.status:
                self.values[update.trial, "status"] = update.status
            self.values |= {(update.trial, f"file {name}"): text for name, text in update.texts.items()}
            self.values |= {(update.trial, f"data {one.name}"): one.digest for one in update.inputs}
            self.runs[update.trial] = held_after(self.runs.get(update.trial, Held()), update)
        self.sends += 1
        if failure == "after":
            raise TimeoutError("the answer was lost")

    def forget(self, trial: int | None) -> None:
        self.points = {point for point in self.points if point[0] != trial}
        self.values = {key: value for key, value in self.values.items() if key[0] != trial}
        self.runs.pop(trial, None)

    @property
    def unranked(self) -> set[tuple[int | None, str, float, int, float]]:
        return {point for point in self.points if point[1] != RANK}

    def files(self, sweep: SweepStarted) -> dict[str, int]:
        return self.files_there

    def upload(self, sweep: SweepStarted, file: Path, folder: str) -> int:
        name = f"{folder}/{file.name}".removeprefix("/")
        self.uploads.append(name)
        self.files_there[name] = file.stat().st_size
        return file.stat().st_size


def make(folder: Path, store: MemoryStore, said: list[tuple[str, str]], is_driven: bool = True) -> Outbox:
    state = OutboxState.load(folder, "sqlite:///x.db", "s")

    def say(kind: str, text: str) -> None:
        if kind != "sent":
            said.append((kind, text))

    return Outbox(folder, store, state, say, is_driven=is_driven)


def test_a_sweep_becomes_one_parent_and_one_child_a_trial(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    store = MemoryStore()
    assert make(tmp_path, store, []).finish(deadline=1e18)
    assert {trial for trial, *_ in store.points} == {SWEEP, 0, 1}
    assert store.values[1, "optim.lr"] == "0.002"
    assert store.values[1, "model.mlp_t"] == "True"
    assert (store.values[0, "status"], store.values[0, "trm.status"]) == ("FINISHED", "stopped")
    assert (store.values[1, "status"], store.values[1, "trm.status"]) == ("FINISHED", "finished")
    assert (store.values[SWEEP, "status"], store.values[SWEEP, "trm.best_trial"]) == ("FINISHED", "1")
    curve = sorted((step, value) for trial, key, value, step, _ in store.points if (trial, key) == (1, "objective"))
    assert curve == [(50, 0.75), (100, 0.9)]
    best = sorted((step, value) for trial, key, value, step, _ in store.points if (trial, key) == (SWEEP, "sweep.best_objective"))
    assert best == [(1, 0.25), (2, 0.75), (3, 0.9)]
    spent = max(value for trial, key, value, *_ in store.points if (trial, key) == (SWEEP, "sweep.train_flops"))
    assert spent == 50 * 2e9 + 100 * 2e9
    assert (1, "test/exact_accuracy", 0.89, 0, 190.0) in store.points


def test_every_trial_status_has_a_run_status() -> None:
    for status, expected in STATUS_OF_TRIAL.items():
        events = [started(), asked(0), *leg(0, 0, 0.5), decided(0, 0, status)]
        assert updates_of(state_of(events), events[-1])[0].status == expected


def test_best_follows_the_mode() -> None:
    state, values = state_of([started(), asked(0), asked(1), asked(2)], sweep_space(mode="min")), list[float]()
    for trial, objective in enumerate((0.5, 0.9, 0.1)):
        for event in leg(trial, 0, objective):
            state.apply(event)
        values += [point.value for update in updates_of(state, event) for point in update.points if "best" in point.key]
        assert updates_of(state, event)[1].tags == {"trm.best_trial": str(2 if trial == 2 else 0)}
    assert values == [0.5, 0.5, 0.1]


def test_a_leg_that_failed_and_was_tried_again_counts_twice() -> None:
    begun, ended = leg(0, 0, 0.5)
    failed = ended.model_copy(update={"status": "failed", "steps": 20, "train_flops": 20 * 2e9, "objective": None})
    again = begun.model_copy(update={"attempt": 1}), ended.model_copy(update={"attempt": 1})
    events = [started(), asked(0), begun, failed, decided(0, 0, "running"), *again]
    points = {point.key: point.value for update in updates_of(state_of(events), again[1]) for point in update.points}
    assert points["sweep.train_flops"] == 70 * 2e9


@given(
    st.lists(st.sampled_from(["none", "before", "after", "vanished"]), max_size=12),
    st.lists(st.integers(0, len(whole_sweep())), max_size=4),
    st.integers(1, 5),
)
def test_whatever_fails_the_store_ends_with_the_same(
    tmp_path_factory: pytest.TempPathFactory, failures: list[str], restarts: list[int], at_a_time: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(outbox, "RETRY_SECONDS", (0.0,))
        patch.setattr(outbox, "EVENTS_AT_A_TIME", at_a_time)
        patch.setattr(outbox, "RUNS_AT_A_TIME", 1 + at_a_time % 2)
        plain_folder, folder = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("failing")
        plain, failing = MemoryStore(), MemoryStore(failures)
        append(plain_folder / "journal.jsonl", whole_sweep())
        make(plain_folder, plain, []).finish(deadline=1e18)
        events = whole_sweep()
        cuts = sorted({0, *restarts, len(events)})
        for start, end in pairwise(cuts):  # a new writer each time, as after a kill
            append(folder / "journal.jsonl", events[start:end])
            make(folder, failing, []).forward()
        last = make(folder, failing, [])
        for _ in range(200):
            if last.forward():
                break
        assert last.waiting == 0
        last.finish(deadline=1e18)
        assert failing.unranked == plain.unranked
        assert failing.values == plain.values
        assert failing.runs == plain.runs  # ranks are told as they were when somebody looked, and the last one counts


def test_a_failure_and_its_end_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_SECONDS", (0.0,))
    append(tmp_path / "journal.jsonl", whole_sweep())
    said: list[tuple[str, str]] = []
    following = make(tmp_path, MemoryStore(["before", "before", "after"]), said)
    following.forward()
    assert said == [("problem", "ConnectionError: the store is away"), ("recovered", "after 3 failures")]


def test_nothing_is_tried_again_before_its_time(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    store = MemoryStore(["before"] * 9)
    following = make(tmp_path, store, [])
    for _ in range(50):
        assert not following.forward()
    assert len(store.failures) == 8
    assert following.waiting == len(whole_sweep())


def test_a_dead_store_does_not_hold_up_the_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LAST_TRY_SECONDS", 0.05)
    append(tmp_path / "journal.jsonl", whole_sweep())
    following = make(tmp_path, MemoryStore(["before"] * 99), [])
    following.forward()
    assert not following.finish(deadline=1e18)


def test_an_interrupted_sweep_is_killed_and_runs_again_after_a_resume(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", [started(), asked(0), *leg(0, 0, 0.5)[:1]])
    store = MemoryStore()
    make(tmp_path, store, []).finish(deadline=1e18)
    assert (store.values[SWEEP, "status"], store.values[SWEEP, "trm.status"]) == ("KILLED", "interrupted")
    assert (store.values[0, "status"], store.values[0, "trm.status"]) == ("KILLED", "interrupted")
    make(tmp_path, store, []).forward()
    assert (store.values[SWEEP, "status"], store.values[0, "status"]) == ("RUNNING", "RUNNING")


def test_files_go_out_once_and_again_when_they_changed(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "leaderboard.json").write_text("{}")
    store = MemoryStore()
    for _ in range(2):
        make(tmp_path, store, []).finish(deadline=1e18)
    assert store.uploads == ["sweep.yaml", "leaderboard.json", "journal.jsonl", "best/config.yaml"]
    (tmp_path / "leaderboard.json").write_text('{"best": 1}')
    make(tmp_path, store, []).finish(deadline=1e18)
    assert store.uploads[4:] == ["leaderboard.json"]
    del store.files_there["best/config.yaml"]  # by whoever has the store
    store.files_there["journal.jsonl"] -= 1
    make(tmp_path, store, []).finish(deadline=1e18)
    assert store.uploads[5:] == ["journal.jsonl", "best/config.yaml"]


def test_a_disk_without_room_for_the_note_keeps_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: OutboxState, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    append(tmp_path / "journal.jsonl", whole_sweep())
    monkeypatch.setattr(OutboxState, "save", full)
    store, said = MemoryStore(), list[tuple[str, str]]()
    assert make(tmp_path, store, said).finish(deadline=1e18)
    assert said == []
    assert store.values[1, "status"] == "FINISHED"


def test_another_store_starts_from_the_beginning(tmp_path: Path) -> None:
    state = OutboxState.load(tmp_path, "http://a", "s")
    state.sent = 5
    state.save(tmp_path)
    assert OutboxState.load(tmp_path, "http://a", "s").sent == 5
    assert OutboxState.load(tmp_path, "http://b", "s").sent == 0
    (tmp_path / "tracking.json").write_text("{torn")
    assert OutboxState.load(tmp_path, "http://a", "s").sent == 0


def test_only_what_the_store_has_not_got_is_sent(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    store, said = MemoryStore(), list[tuple[str, str]]()
    assert make(tmp_path, store, said).finish(deadline=1e18)
    points, values, sends = set(store.points), dict(store.values), store.sends
    assert make(tmp_path, store, said).finish(deadline=1e18)
    assert store.sends == sends
    (tmp_path / "tracking.json").write_text("{torn")  # the note is for people
    assert make(tmp_path, store, said).finish(deadline=1e18)
    assert store.sends == sends
    assert said == []
    for gone in ([1], [SWEEP], [SWEEP, 0, 1]):
        for trial in gone:
            store.forget(trial)
        assert make(tmp_path, store, said).finish(deadline=1e18)
        assert (store.points, store.values) == (points, values)
        again = f"{len(gone)} runs that were sent before are not there: what the journal has of them goes out again"
        assert said.pop() == ("again", again)
    assert {run: held.events for run, held in store.runs.items()} == {SWEEP: 15, 0: 13, 1: 14}


def test_an_event_that_cannot_be_put_into_words_keeps_no_other_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def updates(state: SweepState, event: Event, facts: object) -> list[RunUpdate]:
        if isinstance(event, Asked) and event.trial == 0:
            raise KeyError("a new field")
        return updates_of(state, event)

    monkeypatch.setattr(outbox, "updates_of", updates)
    append(tmp_path / "journal.jsonl", whole_sweep())
    store, said = MemoryStore(), list[tuple[str, str]]()
    assert make(tmp_path, store, said).finish(deadline=1e18)
    assert ("refused", "journal event 2: KeyError: 'a new field'") in said
    assert store.values[1, "status"] == "FINISHED"
    assert store.values[0, "status"] == "FINISHED"


def test_files_alone_go_out(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    store = MemoryStore()
    assert make(tmp_path, store, []).finish(deadline=1e18)
    (tmp_path / "curves.png").write_bytes(b"late")
    assert make(tmp_path, store, []).finish(deadline=1e18)
    assert store.uploads == ["sweep.yaml", "journal.jsonl", "curves.png"]


def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    store = MemoryStore()
    following = make(tmp_path, store, [])
    assert following.forward()
    append(journal, [started(), asked(0)])
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    following.forward()
    assert {trial for trial, _ in store.values} == {SWEEP}
    journal.write_bytes(whole)
    following.forward()
    assert {trial for trial, _ in store.values} == {SWEEP, 0}


def test_a_corrupt_journal_is_said_once_and_what_was_read_goes_out(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[4:]]))
    store, said = MemoryStore(), list[tuple[str, str]]()
    following = make(tmp_path, store, said)
    assert following.forward()
    assert following.forward()
    assert {trial for trial, _ in store.values} == {SWEEP, 0}
    assert [kind for kind, _ in said] == ["problem"]
    assert "corrupt" in said[0][1]


@given(st.permutations(range(6)))
def test_merging_keeps_every_point_and_the_last_word(order: list[int]) -> None:
    updates = [RunUpdate(trial, at, at, tags={"at": str(at)}) for at, trial in enumerate(n % 3 for n in order)]
    together = merged(updates)
    assert [update.trial for update in together] == [0, 1, 2]
    for update in together:
        last = max(u.since for u in updates if u.trial == update.trial)
        assert (update.tags["at"], update.status_at) == (str(last), last)
        assert update.since == min(u.since for u in updates if u.trial == update.trial)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:pw@db:5432/x", "postgresql://***@db:5432/x"),
        ("see https://token@h/a and s3://k:s@b/c", "see https://***@h/a and s3://***@b/c"),
        ("https://h/p?X-Amz-Signature=abc&x=1", "https://h/p?X-Amz-Signature=***&x=1"),
        ("mysql://u:p%40@w@h/d", "mysql://***@h/d"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
        ("mail me@here", "mail me@here"),
        ("http://h/#/runs?viewStateShareKey=trm1&token=x", "http://h/#/runs?viewStateShareKey=trm1&token=***"),
    ],
)
def test_addresses_lose_their_secrets(text: str, clean: str) -> None:
    assert redacted(text) == clean
    assert redacted(clean) == clean
