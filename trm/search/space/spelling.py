"""What a run's messages tell to do, as a search space spells it: below `base`, or below `search` where a knob stands."""

import re
from collections.abc import Mapping

from trm.config.leaves import leaves
from trm.config.run import RunConfig
from trm.search.knobs.knobs import ChoiceKnob, Knob

_SECTIONS = "|".join(RunConfig.model_fields)
_SECTION = rf"(?<=--set )(?:{_SECTIONS})(?==)"
_PATH = re.compile(rf"(?<![\w./{{])(?P<path>(?:{_SECTIONS})\.[\w.]*\w|{_SECTION})(?:(?:: | (?=\d))(?P<value>[\w.+-]*\w))?")
ONE = "{{type: choice, values: [{}]}}"


def spelled(text: str, search: Mapping[str, Knob]) -> str:
    """A remedy of a run's rule in which every path of the run configuration is that of a space with these knobs."""

    def as_there(match: re.Match[str]) -> str:
        path, value = match["path"], match["value"]
        if path not in leaves() and path not in RunConfig.model_fields:
            return match[0]
        knob = search.get(path)
        if knob is None:
            return match[0] if path.startswith("data") else f"base.{match[0]}"
        if not value:
            return f"search.{path}"
        return f"search.{path}.values: [{value}]" if isinstance(knob, ChoiceKnob) else f"search.{path}: {ONE.format(value)}"

    return _PATH.sub(as_there, text)
