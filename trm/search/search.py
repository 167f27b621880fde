"""The search itself: the events that follow from where a sweep stands.

It needs no cluster and reads no clock: what happens is told to its `state`, what to do is asked by `next_events(now, slots_free)`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from trm.config.run import RunConfig
from trm.config.training import divides
from trm.search.asking.ask import Asker
from trm.search.asking.trust import Past, Suggestion, Trust
from trm.search.confirmation import given_seeds, next_ahead, next_candidate, unneeded
from trm.search.controls import audited
from trm.search.decisions import decision, stopped
from trm.search.journal.events import Adopted, Asked, Event, LegStarted, LegWidened, SpaceExhausted, Spare, SweepEnded
from trm.search.journal.trial import Trial
from trm.search.objective import answer_flops
from trm.search.resources.widening import widened
from trm.search.schedulers.scheduler import Decision
from trm.search.space.candidates import CostOf, SetFacts
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.seeds import derived_seed

HOPELESS = 3
"""So many trials failed and none ever completed a leg: the sweep cannot work."""
CONFIGS_HELD = 256
"""Configurations that are held ready for their trials' next legs."""


class Search:
    """What follows from where a sweep stands: a function of its state, seeded by the sweep."""

    def __init__(
        self,
        space: SearchSpace,
        cost_of: CostOf,
        *,
        folder: str | None = None,
        epoch_rows: float | None = None,
        sets: Mapping[str, SetFacts] | None = None,
    ) -> None:
        """A sweep of `space` before its first event; `folder` is the built data set that orders carry, of `epoch_rows` an epoch.

        Where the space has several data sets, `sets` has their folders.
        """
        self.state = SweepState(space, cost_of, epoch_rows=epoch_rows, sets=sets)
        self.folder = folder
        self._asker = Asker(self.state.resolver)
        self._trust: Trust | None = None
        self._configs: dict[int, tuple[dict[str, Any], int, RunConfig]] = {}
        """Trial -> its parameters, its steps, and the configuration that they mean: of those asked for or started last."""

    def next_events(self, now: float, slots_free: int) -> list[Event]:
        """The next events to journal, apply and act upon; ask again after that, until there are none: then wait.

        Decisions come first; then, while a slot is free, a leg that waits, a promotion, a new trial.
        """
        state = self.state
        if due := self.due_decisions(now):
            return due
        if slots_free <= 0 or state.ended is not None or self._must_stop(now) is not None:
            return []
        leg = self._next_leg(now)
        if isinstance(leg, LegStarted):
            return [leg]
        if (leg or self._why_no_trial()) is None:
            return [self._ask(now)] if state.scheduler.may_ask(state.context) else []
        confirmation = self._next_confirmation(now)
        return [] if confirmation is None else [confirmation]

    def due_decisions(self, now: float) -> list[Event]:
        """What is to be decided now: about legs that ended, about who is left behind, about who goes on from whose checkpoint.

        Some of those whom early stopping ends run on as controls, where an audit is wanted.
        """
        state = self.state
        if ended := state.undecided:
            metric = state.space.objective.metric
            due = [decided for trial in ended if (decided := decision(trial, self._scored(trial), metric, now))]
            if due:
                return audited(due, state.audit, state.early_stops, state.space.seed)
        context = state.context
        if stops := state.scheduler.stops(context):
            due = [stopped(state.trials[number], reason, now, is_early=True) for number, reason in stops]
            return audited(due, state.audit, state.early_stops, state.space.seed)
        return [
            Adopted(trial=one.trial, rung=one.rung, source=one.source, params=dict(one.params), at=now)
            for one in state.scheduler.exploits(context)
        ]

    def next_widening(self, now: float, spare: Spare) -> LegWidened | None:
        """The running leg that is to have more of the slots that idle; None: none, and while anything else could take them.

        None where GPU-hours are limited: a wide leg takes more of them, and what another leg lacks then would be missed.
        """
        state = self.state
        if spare.most <= 1 or not state.has_asked_all or state.budget.gpu_hours is not None:
            return None
        if self.is_done(now) is not None or self.next_events(now, 1):
            return None
        over = unneeded(state)
        found = widened(state, spare, now, lambda leg, workers: leg.trial not in over and self._divides(leg, workers))
        if found is None:
            return None
        leg, slots = found
        return LegWidened(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, slots=slots, spare=spare, at=now)

    def _divides(self, leg: LegStarted, workers: int) -> bool:
        """Whether so many workers can share the batch of the leg, and what it is scored on."""
        config = self._validated(self.state.trials[leg.trial])
        examples = config.evaluation.max_examples
        shares = divides(config.training.global_batch_size, workers, config.training.micro_batches)
        return shares and (examples is None or examples >= workers)

    def is_done(self, now: float) -> str | None:
        """Why nothing is left to do, or null.

        A spent clock ends a sweep while legs run, and so does what nobody needs any more: interrupt them, then `closing_events`.
        """
        state = self.state
        if state.ended is not None:
            return state.ended.reason
        must = self._must_stop(now)
        if must is not None or state.undecided or self._awaits_legs or self.due_decisions(now):
            return must
        leg = self._next_leg(now)
        if isinstance(leg, LegStarted):
            return None
        reason = leg or self._why_no_trial()
        return None if reason is None or self._next_confirmation(now) is not None else reason

    def closing_events(self, now: float) -> list[Event]:
        """Ends the sweep: what runs or rests is stopped (a sweep that goes on takes it up again), and why."""
        reason = self.is_done(now) or "stopped"
        open_ones = [trial for trial in self.state.trials if trial.status in ("running", "paused")]
        why, over = f"the sweep ended: {reason}", unneeded(self.state)
        stops: list[Event] = [stopped(trial, why, now, reopens=trial.number not in over) for trial in open_ones]
        return [*stops, SweepEnded(reason=reason, at=now)]

    def run_config(self, leg: LegStarted) -> RunConfig:
        """The complete configuration of `leg`.

        The warm-up follows from the trial's own maximum at its start, though a resume may have made trials longer since. A
        confirmation is scored on the whole validation split, by all votes, or where data sets differ by as many as a rung.
        """
        trial = self.state.trials[leg.trial]
        config = self._validated(trial)
        if trial.is_confirmation:
            votes = config.evaluation.votes if self.state.facts.sets else None
            evaluation = config.evaluation.model_copy(update={"max_examples": None, "votes": votes})
            config = config.model_copy(update={"evaluation": evaluation})
        if leg.until_steps > trial.asked.max_steps:
            training = config.training.model_copy(update={"steps": leg.until_steps})
            config = config.model_copy(update={"training": training})
        return config

    def _validated(self, trial: Trial) -> RunConfig:
        """The trial's configuration as it was asked for; validated anew where this driver did not ask, or its knobs changed."""
        asked = trial.asked
        params, max_steps, config = self._configs.pop(trial.number, (None, None, None))
        if config is None or (params, max_steps) != (trial.params, asked.max_steps):
            config = self.state.space.run_config(
                trial.params,
                seed=asked.seed,
                folder=self._folder_of(trial.params),
                max_steps=asked.max_steps,
                rules=self.state.resolver.rules,
            )
        self._hold(trial.number, trial.params, asked.max_steps, config)
        return config

    def _folder_of(self, params: dict[str, Any]) -> str | None:
        """Where the data set of a trial with these parameters lies; null: nobody said."""
        state = self.state
        return state.facts.folder_of(state.space.data_of(params)) or self.folder

    def _hold(self, trial: int, params: dict[str, Any], max_steps: int, config: RunConfig) -> None:
        self._configs[trial] = params, max_steps, config
        if len(self._configs) > CONFIGS_HELD:
            del self._configs[next(iter(self._configs))]

    @property
    def lacking_bytes(self) -> int | None:
        """What the least of the checkpoints needs for which the disk had no room when a trial was last asked for; null: none."""
        return min((one.disk_bytes for one in self._asker.turned_down if one.limit == "disk"), default=None)

    # Parts ----------------------------------------------------------------------------------------------------------

    def _scored(self, trial: Trial) -> Decision | None:
        state = self.state
        if trial.target_rung is not None or trial.rung is None or trial.rung == state.rungs.last or trial.is_confirmation:
            return None
        if trial.is_control:
            return Decision("running", "a control goes on")
        return state.scheduler.decision(state.context, trial.number, trial.rung)

    def _must_stop(self, now: float) -> str | None:
        """Why even running legs are to stop."""
        state = self.state
        over = state.spending.why_over(state.budget, now, lambda: state.open_legs)
        if over is not None:
            return over
        if state.confirm is None and (reached := self._target_reached) is not None:
            return reached
        if (failed := state.has_only_failed) is not None and failed >= HOPELESS:
            return f"all of the first {failed} trials failed: {state.first_failure}"
        return None

    @property
    def _awaits_legs(self) -> bool:
        """Whether a leg runs whose end is waited for."""
        over = unneeded(self.state)
        return any(number not in over for number in self.state.running)

    @property
    def _waiting(self) -> list[Trial]:
        """Trials whose next leg waits for a slot, and is wanted."""
        waiting = self.state.waiting
        over = unneeded(self.state) if any(trial.is_confirmation for trial in waiting) else frozenset[int]()
        return [trial for trial in waiting if trial.number not in over]

    @property
    def _replicates(self) -> int:
        """Trials of each configuration: of a space without knobs as many as the budget has."""
        state = self.state
        return max(state.space.replicates, 0 if state.space.search else state.budget.trials or 0)

    @property
    def _target_reached(self) -> str | None:
        state = self.state
        best = state.best_ever
        if best is None or state.budget.target is None or best.violation > 0:
            return None
        if state.order.is_better(state.budget.target, best.objective):
            return None
        trial, objective = best.trial, best.objective
        return f"trial {trial} reached the target {state.budget.target:g} with {objective:g}"

    def _why_no_trial(self) -> str | None:
        """Why no further trial will be asked; None when one will."""
        state = self.state
        if state.has_asked_all:
            return state.exhausted or f"all {len(state.searched)} trials have ended"
        first_leg = self._flops_to(state.scheduler.first_rung(len(state.trials)))
        return self._target_reached or self._too_much(first_leg, self._reserve())

    def _next_leg(self, now: float) -> LegStarted | str | None:
        """The next leg of a trial that exists, or why the budget forbids it; None when none waits and none is promoted."""
        state = self.state
        waiting = self._waiting
        before_others = [trial for trial in waiting if trial.wider] or [trial for trial in waiting if trial.is_confirmation]
        trial = before_others[0] if before_others else None
        if trial is None:
            number = waiting[0].number if waiting else state.scheduler.promotion(state.context)
            if number is None:
                return None
            if (reached := self._target_reached) is not None:
                return reached
            trial = state.trials[number]
        until = self._steps_at(trial, trial.next_rung)
        flops, first = trial.asked.flops, trial.begun_steps
        reserve = 0.0 if trial.is_confirmation else self._reserve()
        return self._too_much(flops.between(first, until), reserve) or LegStarted(
            trial=trial.number,
            rung=trial.next_rung,
            attempt=trial.attempts.get(trial.next_rung, 0),
            until_steps=until,
            from_checkpoint=trial.origin,
            expected_seconds=state.facts.speeds.leg_seconds(flops, first, until, slots=trial.wider or 1),
            at=now,
        )

    def _steps_at(self, trial: Trial, rung: int) -> int:
        return self.state.rungs.steps(trial.asked.amounts)[rung]

    def _too_much(self, flops: float, reserve: float = 0.0) -> str | None:
        """Why a leg of so many training FLOPs may not start, with `reserve` kept for later; None when it may."""
        state = self.state
        if state.budget.train_flops is None:
            return None
        legs = [(state.trials[leg.trial], leg) for leg in state.open_legs]
        promised = sum(trial.asked.flops.between(trial.begun_steps, leg.until_steps) for trial, leg in legs)
        why = state.spending.why_too_much(state.budget, promised + reserve, flops)
        return f"{why}, and {reserve:.3g} are kept for confirmations" if why and reserve else why

    def _reserve(self) -> float:
        """Training FLOPs that are kept for confirmations, where the budget limits them all."""
        state = self.state
        if state.confirm is None or state.budget.train_flops is None:
            return 0.0
        given = sum(min(state.confirm.seeds, count) for count in given_seeds(state).values()) if state.confirmations else 0
        return max(0, state.confirm.top * state.confirm.seeds - given) * self._flops_to(state.rungs.last)

    def _next_confirmation(self, now: float) -> Asked | None:
        """The next trial that confirms a candidate; None where none is due, and when enough is known."""
        state = self.state
        if state.confirm is None or any(trial.is_confirmation for trial in self._waiting):
            return None
        is_ahead = any(not state.trials[number].is_confirmation for number in state.running)
        number = next_ahead(state) if is_ahead else next_candidate(state)
        if number is None:
            return None
        asked = state.trials[number].asked
        if self._too_much(asked.flops.up_to(self._steps_at(state.trials[number], state.rungs.last))):
            return None
        new = len(state.trials)
        seed = derived_seed(state.space.seed, "trial", new)
        changes = {"trial": new, "source": "confirmation", "confirms": number, "seed": seed, "at": now}
        return asked.model_copy(update=changes)

    def _flops_to(self, rung: int) -> float:
        """What a trial takes from its start to a rung; where fidelity is no compute, as much as the last one asked."""
        state = self.state
        if state.space.fidelity == "train_flops":
            return state.rungs.amounts[rung]
        return state.trials[-1].asked.flops.up_to(self._steps_at(state.trials[-1], rung)) if state.trials else 0.0

    def _suggestion(self) -> Suggestion | None:
        state = self.state
        if not state.priors:
            return None
        if self._trust is None:
            self._trust = Trust(state.space, state.priors)
        amounts = state.rungs.amounts
        past = Past(
            state.searched,
            rung_of=lambda trial, rung: state.rung_results[state.scheduler.group(trial)][rung],
            share_of=lambda rung: amounts[rung] / amounts[-1],
        )
        return self._trust.suggestion(past)

    def _ask(self, now: float) -> Event:
        state, objective = self.state, self.state.space.objective
        number = len(state.trials)
        choice = self._asker.choose(state.searched, state.copies, number, self._suggestion(), replicates=self._replicates)
        if choice is None:
            rules = Counter(one.rule for one in self._asker.turned_down)
            return SpaceExhausted(reason=self._asker.why_none, too_small=rules.most_common(1)[0][0] if rules else None, at=now)
        one, seed = choice.candidate, derived_seed(state.space.seed, "trial", number)
        folder, data = self._folder_of(one.params), state.space.data_of(one.params)
        data = data if folder is None else data.built(folder)
        self._hold(number, one.params, one.max_steps, one.config.model_copy(update={"seed": seed, "data": data}))
        return Asked(
            trial=number,
            params=one.params,
            used=one.used,
            source=choice.source,
            prior=choice.prior,
            digest=one.digest,
            seed=seed,
            max_steps=one.max_steps,
            step_flops=one.step_flops,
            params_count=one.params_count,
            inference_flops=answer_flops(objective, one.config, one.inference_flops) if objective.others else None,
            step_amount=one.step_amount,
            stages=one.stages,
            memory_bytes=one.memory_bytes,
            checkpoint_bytes=one.checkpoint_bytes,
            sampler_notes=choice.notes,
            at=now,
        )


def replayed(space: SearchSpace, cost_of: CostOf, events: Iterable[Event], *, folder: str | None = None) -> Search:
    """The search after `events`."""
    search = Search(space, cost_of, folder=folder)
    for event in events:
        search.state.apply(event)
    return search
