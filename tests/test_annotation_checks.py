"""The tests see it when a function of `trm` is given something else than its annotations say, or gives it back."""

from collections.abc import Iterator

import numpy as np
import pytest
from annotation_checks import checked
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float64, TypeCheckError

from trm.cluster.connection import Demand
from trm.console.streams import one_line
from trm.stats.intervals import standard_error

Column = Float64[np.ndarray, " rows"]


def test_functions_and_dataclasses_of_the_package_are_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        one_line(3)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        Demand(workers="1", cpus=1.0, gpus=0.0)  # type: ignore[arg-type]
    assert Demand(workers=1, cpus=1, gpus=0).cpus == 1, "an int will do for a float"
    with pytest.raises(TypeCheckError, match="standard_error"):
        standard_error(np.zeros(3), np.zeros(4, dtype=np.int64))


def test_what_comes_back_is_checked_and_shapes_go_through_a_call() -> None:
    def one_more(values: Column) -> "Column | None":
        return np.zeros(len(values) + 1)

    def text() -> str:
        return 3  # type: ignore[return-value]

    def lines() -> Iterator["Column"]:
        yield np.zeros(1)

    with pytest.raises(TypeCheckError, match=r"return value of .*one_more"):
        checked(typechecker=beartype)(one_more)(np.zeros(2))
    with pytest.raises(BeartypeCallHintViolation):
        checked(typechecker=beartype)(text)()
    assert [line.size for line in checked(typechecker=beartype)(lines)()] == [1]


def test_a_name_that_only_the_type_checker_knows_stands_for_anything() -> None:
    def said(what: "Nowhere", times: int) -> str:  # type: ignore[name-defined]
        return str(what) * times

    assert checked(typechecker=beartype)(said)(1, 2) == "11"
    with pytest.raises(BeartypeCallHintViolation):
        checked(typechecker=beartype)(said)(1, "2")
