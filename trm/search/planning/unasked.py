"""What a sweep that begins does though its file does not ask for it, in words."""

from trm.search.planning.survey import Survey
from trm.search.space.candidates import Candidate
from trm.search.space.defaults import CONFIRMED
from trm.search.space.start_points import base_point


def unasked_lines(survey: Survey) -> list[str]:
    """The trial that is the base, or why there is none; and how the winner is confirmed."""
    return [*_base(survey), *confirmation_lines(survey)]


def confirmation_lines(survey: Survey) -> list[str]:
    """How the winner is confirmed, where nobody asked for that: a resume with a larger budget may bring it."""
    confirm = survey.space.confirm
    if confirm != CONFIRMED:
        return []
    return [
        f"when the search is over, the best {confirm.top} are trained again, on {confirm.seeds} fresh seeds each "
        f"({confirm.top * confirm.seeds} runs of full length; confirm: null for none)"
    ]


def _base(survey: Survey) -> list[str]:
    base = "the base with the value of every prior" if survey.space.believed else "the base"
    match survey.base:
        case None:
            return []
        case Candidate():
            changed = ", ".join(base_point(survey.space)[1])
            nearest = f", as near as the knobs come to it: {changed}" if changed else ""
            return [f"{base} is a trial, before what the sampler draws (start_points: [] for none){nearest}"]
        case broken:
            return [f"{base} is no trial: it breaks {broken.rule} (start_points say where else to begin)"]
