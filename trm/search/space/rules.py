"""The rules by which a sweep is resolved and ranked: those of its beginning, whatever came since."""

from collections.abc import Callable

RULES = 5
"""Of the sweeps that begin now; a journal says by which its sweep began (`SweepStarted.rules`).

1: the weight average warmed up whatever the base said, and of all capped values only the warm-up's were one run; loss broke ties
between losses of two kinds. 1 and 2: of trials equal in objective and loss the leaderboard put the one with less compute first,
while their rung went by the digest. 1 to 3: what changes nothing with the values of others (`trm.config.meaning`) stayed in a
trial's configuration and its digest, and no knob had a condition from it. 1 to 4: a sweep whose file named no start points began
with the sampler's first choice, none was confirmed whose file did not ask for it, of what was confirmed fresh seeds alone told the
winner, samplers that look at finished trials alone (gp, nsga2) were shown no others, asha promoted whoever came among a rung's
best, however many had gone on, and always before it asked for a new trial, a standard error kept trials on half as many places as
the quota has, confirmations came after the last trial of the search, TPE sampled where the file named nothing, TPE drew anew
whenever what it proposed had been tried, an accuracy after fewer steps than the evaluation's that the objective named had no
standard error, and gp fitted a second process to constraints that all trials kept.
"""
OLDEST = 1


def _since(first: int) -> Callable[[int], bool]:
    """Whether a sweep that began by some rules does what those from `first` on do."""
    return lambda rules: rules >= first


is_average_plain = _since(2)
"""Whether the base may say that the weight average does not warm up."""
goes_by_meaning = _since(4)
"""Whether what changes nothing with the values of others is refused, left out of trials, and searched only where it does."""
begins_with_base = _since(5)
"""Whether the first trial is the base where the space's file names no start points."""
confirms_unasked = _since(5)
"""Whether the best trials are confirmed where the space's file does not say whether."""
counts_own_scores = _since(5)
"""Whether the search's own scores count beside those of fresh seeds."""
shows_scored_as_finished = _since(5)
"""Whether samplers that look at finished trials alone are shown all scored ones as such."""
foretells_gain = _since(5)
"""Whether it is said at the end what more search would bring."""
promotes_sparingly = _since(5)
"""Whether asha, once a rung's share has gone on, promotes nobody but a new best."""
tells_audit_with_best = _since(5)
"""Whether the leaderboard's file tells of the audit too."""
asks_first = _since(5)
"""Whether many slots begin all trials before the first is promoted."""
confirms_ahead = _since(5)
"""Whether slots that would idle confirm the best while the search's last trials run."""
moves_by_default = _since(5)
"""Whether the sampler is `surrogate` where the space's file names none."""
leaves_kept_constraints_out = _since(5)
"""Whether the sampler gp hears of no constraints where all trials keep them."""
asks_for_figures = _since(5)
"""Whether evaluations report what the objective names as figures that are asked for, with interval and standard error."""
offers_next_best = _since(5)
"""Whether TPE, of which a draw is turned down, offers the next best of the same draws before it draws anew."""


def near_share(rules: int) -> float:
    """Places after a rung's quota on which a standard error keeps a trial, as a share of the quota."""
    return 0.25 if rules >= 5 else 0.5
