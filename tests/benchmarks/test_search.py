"""Sweeps replayed on recorded curves: the same search, the same spending, only differences paid."""

import pytest

from benchmarks.search.contenders import PEERS, Contender
from benchmarks.search.figures import BUDGETS, difference, interval, outcome, ratio
from benchmarks.search.peers import Limits, epochs
from benchmarks.search.replay import History, Moment, replay, space_of
from benchmarks.search.synthetic import synthetic
from benchmarks.search.tables import Table
from trm.search.findings.replay import replay as derived_again
from trm.search.journal.events import Asked, LegEnded, LegStarted
from trm.search.search import Search


@pytest.fixture(scope="module")
def table() -> Table:
    return synthetic(1)


@pytest.fixture(scope="module")
def history(table: Table) -> History:
    return replay(space_of(table, trials=16), table, 5)


def test_a_replay_is_a_sweep_that_a_replay_of_its_journal_accepts(table: Table, history: History) -> None:
    assert history.search is not None
    again = Search(history.search.state.space, table.cost_of)
    assert derived_again(again, history.events).trials == 16
    assert again.state.spending.train_flops == history.moments[-1].train_flops


def test_only_differences_are_paid(table: Table, history: History) -> None:
    assert history.search is not None
    ended = [event for event in history.events if isinstance(event, LegEnded)]
    longest = {leg.trial: leg.train_flops for leg in sorted(ended, key=lambda leg: leg.steps)}
    assert len(ended) > len(longest), "trials were promoted"
    assert history.moments[-1].train_flops == pytest.approx(sum(longest.values()))
    for leg in ended:
        config = table.config(history.search.state.trials[leg.trial].params)
        seed = history.runs.taken[config][0]  # type: ignore[union-attr]
        assert leg.objective == table.curves[config, seed].at(leg.steps, table.examples).accuracy


def test_the_same_seed_is_the_same_sweep(table: Table, history: History) -> None:
    assert replay(space_of(table, trials=16), table, 5).events == history.events
    assert replay(space_of(table, trials=16), table, 6).events != history.events


def test_runs_of_a_configuration_are_different_seeds_while_there_are_any(table: Table) -> None:
    space = space_of(table, trials=8, replicates=4, scheduler="none")
    history = replay(space, table, 0)
    assert history.runs is not None
    assert [sorted(seeds) for seeds in history.runs.taken.values()] == [[0, 1, 2, 3]] * 2
    config = next(iter(history.runs.taken))
    assert table.truth(config, without=[0, 1]) == (table.final(config, 2) + table.final(config, 3)) / 2


def test_slots_run_side_by_side(table: Table) -> None:
    history = replay(space_of(table, trials=6, scheduler="none"), table, 0, slots=2)
    running = most = 0
    for event in history.events:
        running += isinstance(event, LegStarted) - isinstance(event, LegEnded)
        most = max(most, running)
    assert most == 2
    assert sum(isinstance(event, Asked) for event in history.events) == 6


@pytest.mark.parametrize("peer", ["ray_tune", "optuna_hyperband"])
def test_peers_pay_what_their_trials_ran_and_report_no_more_than_they_saw(table: Table, peer: str) -> None:
    sweep = PEERS[peer].sweep
    history, again = (sweep(table, 2, Limits(30)) for _ in range(2))
    assert history.moments == again.moments
    ran = 0.0
    for (config, epoch, _), moment in zip(history.ends, history.moments, strict=True):
        ran += min(epoch * table.epoch_steps, table.max_steps(config)) * table.step_flops(config)
        assert moment.train_flops == pytest.approx(ran)
    short = [epoch for config, epoch, _ in history.ends if epoch < epochs(table, config)]
    assert set(short) <= ({1, 4, 16, 64} if peer == "ray_tune" else {1, 3, 9, 27, 81})
    assert 0 < len(short) < 30


def test_a_grid_is_walked_through_in_its_order_at_full_length(table: Table) -> None:
    history = PEERS["grid"].sweep(table, 0, Limits(62))
    assert [config for config, _, _ in history.ends] == [*range(60), 0, 1]
    assert history.moments[59].train_flops == pytest.approx(60 * table.space.budget.per_trial, rel=0.01)
    assert [len(seeds) for seeds in history.runs.taken.values()][:3] == [2, 2, 1]  # type: ignore[union-attr]


def test_figures_count_who_never_arrives_with_the_whole_table(table: Table) -> None:
    two = (Moment(1, 3e10, 7, 0.1), Moment(2, 9e10, next(iter(table.good)), 0.2))
    stuck = outcome(Contender(lambda *_: History(moments=[two[0]])), table, 0)
    found = outcome(Contender(lambda *_: History(moments=[*two])), table, 0)
    assert (stuck.reach, stuck.is_capped) == (60.0, True)
    assert (found.reach, found.is_capped) == (9e10 / 8e10, False)
    assert found.by_budget[BUDGETS.index(0.25)] == table.best, "nothing was reported before"
    assert stuck.by_budget[-1] == table.regret(7)
    assert ratio([1.0] * 5, [2.0] * 5) == (0.5, 0.5, 0.5)
    assert difference([1.0] * 5, [2.0] * 5) == (-1.0, -1.0, -1.0)
    value, low, high = interval([0.0, 1.0] * 50)
    assert value == 0.5
    assert low == pytest.approx(0.4, abs=0.03)
    assert high == pytest.approx(0.6, abs=0.03)


def test_who_never_repeats_a_configuration_goes_on_with_another_sweep(table: Table) -> None:
    good = next(iter(table.good))
    sweeps = {0: [Moment(1, 1e12, 7, 0.5)], 1_000_000: [Moment(1, 1e12, good, 0.4)], 2_000_000: [Moment(1, 1e12, good, 0.6)]}

    def sweep(table: Table, seed: int, limits: Limits) -> History:
        return History(moments=list(sweeps[seed]) if limits.trials == len(table.params) else [Moment(1, 1e12, 7, 0.5)])

    found = outcome(Contender(sweep, ends_with_the_space=True), table, 0)
    assert found.reach == 3e12 / 8e10, "the second sweep's score is below what was reported before"
    assert not found.is_capped
