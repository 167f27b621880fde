"""Early stopping is audited: of the trials that it ends, some run on as controls. What they come to is in `findings/audit.py`."""

import math
from collections.abc import Sequence

from trm.search.journal.events import Decided, Event
from trm.search.settings import Audit
from trm.seeds import derived_seed


def audited(decisions: Sequence[Decided], audit: Audit | None, early_stops: int, seed: int) -> list[Event]:
    """The decisions; of those that stop a trial early, the audit's share lets it run on instead.

    Controls are spread evenly over the early stops, `early_stops` of which there were before; where they begin, `seed` says.
    """
    share = audit.share if audit is not None else 0.0
    offset = derived_seed(seed, "audit", bits=32) / 2**32
    found: list[Event] = []
    for decision in decisions:
        if decision.is_early:
            before, early_stops = math.floor(early_stops * share + offset), early_stops + 1
            if math.floor(early_stops * share + offset) > before:
                changes = {"status": "running", "reopens": False, "reason": f"a control: {decision.reason}"}
                decision = decision.model_copy(update=changes)
        found.append(decision)
    return found
