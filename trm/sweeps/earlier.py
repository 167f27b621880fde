"""Earlier sweeps, read from their folders without their lease: whoever drives them now is not disturbed."""

from collections.abc import Sequence
from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import say
from trm.errors import InputError, SweepError
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import read_events
from trm.search.journal.priors import Prior
from trm.search.log import FILE as JOURNAL
from trm.search.planning.earlier import Earlier, check_usable, prior_of
from trm.search.space.candidates import Facts, Resolver
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.sweeps.data_sets import DataSets
from trm.sweeps.folder import is_begun, read_sweep, sweeps_text
from trm.sweeps.places import expanded
from trm.sweeps.search import costs_on


def read_earlier(folders: Sequence[str], space: SearchSpace) -> list[tuple[Earlier, DataSets]]:
    """The earlier sweeps of `--warm-start`, each with its data.

    SweepError for what is no sweep of ours, cannot be read, has no score, or searches no knob of `space`; and when the sampler
    needs one and there is none.
    """
    if space.sampler.tries == "earlier" and not folders:
        raise SweepError(
            f"sampler {space.sampler.type} tries an earlier sweep's configurations, and none was given",
            remedy="add --warm-start FOLDER, or take another sampler",
        )
    found: dict[str, tuple[Earlier, DataSets]] = {}
    with shown("reading earlier sweeps", say) as report:
        for index, given in enumerate(folders):
            report("read", index, len(folders))
            folder = expanded(given, "--warm-start").absolute()
            if str(folder) in found:
                raise SweepError(f"--warm-start names {folder} twice", remedy="name it once")
            found[str(folder)] = _read(folder)
            check_usable(found[str(folder)][0], space)
    return list(found.values())


def priors_from(earlier: Sequence[tuple[Earlier, DataSets]], space: SearchSpace, sets: DataSets, facts: Facts) -> list[Prior]:
    """What they say about `space` on its data; tells what differs and what was left out."""
    resolver = Resolver(space, costs_on(sets, space.resources), facts)
    priors = [prior_of(one, resolver, data_difference=_data_difference(there, sets)) for one, there in earlier]
    for prior in priors:
        for line in prior_lines(prior):
            say(line)
    return priors


def prior_lines(prior: Prior) -> list[str]:
    """What is known of an earlier sweep, in lines."""
    lines = [f"warm start from {prior.name}: {len(prior.trials)} configurations"]
    if prior.differences:
        lines.append(f"  it was about something else, and counts for less: {'; '.join(prior.differences)}")
    return lines + [f"  left out: {reason}" for reason in prior.left_out]


def check_same_priors(folder: Path, given: Sequence[str]) -> None:
    """SweepError when a resume names other earlier sweeps than the sweep began with; it need not name any."""
    if not given:
        return
    first = next((entry.event for entry in read_events(folder / JOURNAL)), None)
    began = [prior.source for prior in first.priors] if isinstance(first, SweepStarted) else []
    now = [str(expanded(one, "--warm-start").absolute()) for one in given]
    if len(began) != len(now) or not all(map(_is_same_place, began, now)):
        before = " ".join(["with --warm-start", *began]) if began else "without --warm-start"
        raise SweepError(
            f"{folder} began {before}, and now it is {' '.join(now)}",
            remedy="leave --warm-start out of a resume, or start another sweep under another --name",
        )


def _is_same_place(before: str, now: str) -> bool:
    """Whether it is the same folder, or was: one of its name, where nothing is at the old place any more."""
    return before == now or (Path(before).name == Path(now).name and not Path(before).exists())


def _read(folder: Path) -> tuple[Earlier, DataSets]:
    if not is_begun(folder):
        what = "does not exist" if not folder.exists() else "is no sweep: it has no journal"
        raise SweepError(f"--warm-start {folder} {what}", remedy=sweeps_text(folder.parent, "give the folder of a sweep"))
    try:
        space, sets, _ = read_sweep(folder)
        state = SweepState(space)
        for entry in read_events(folder / JOURNAL):
            state.apply(entry.event)
    except InputError as error:
        raise SweepError(f"--warm-start {folder} cannot be read: {error.problem}", remedy=error.remedy) from error
    return Earlier(str(folder), state), sets


def _data_difference(there: DataSets, here: DataSets) -> str | None:
    if {one.content_hash for one in there.manifests} == {one.content_hash for one in here.manifests}:
        return None
    return f"data: {_data_text(there)} there, {_data_text(here)} here"


def _data_text(sets: DataSets) -> str:
    return ", ".join(f"{one.name} ({one.content_hash[:8]})" for one in sets.manifests)
