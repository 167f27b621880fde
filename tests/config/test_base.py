"""Fields that came later: values of before keep the digests that they have."""

from typing import Annotated

from trm.config.base import Later, Written, without_later


class Inner(Written):
    """What stood there, and what came later."""

    old: float = 1.0
    new: Annotated[float, Later] = 0.0


class Outer(Written):
    """One in another."""

    inner: Inner = Inner()
    added: Annotated[tuple[int, ...] | None, Later] = None


def test_a_later_field_counts_where_it_is_set_and_nowhere_else() -> None:
    def told(model: Outer) -> dict[str, object]:
        return without_later(model, model.model_dump(mode="json"))

    assert told(Outer()) == {"inner": {"old": 1.0}}
    assert told(Outer(inner=Inner(new=0.5), added=(1,))) == {"inner": {"old": 1.0, "new": 0.5}, "added": [1]}
    assert Outer().model_dump() == {"inner": {"old": 1.0, "new": 0.0}, "added": None}, "files stay complete"
