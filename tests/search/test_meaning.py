"""What a field needs of others is said once: refusal, conditions of knobs and trials that are one follow, for every field."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from trm.config.leaves import exists, leaves, put, written_tags
from trm.config.meaning import idle, needs_of, unmet
from trm.search.knobs.implied import with_params
from trm.search.space.enumeration import all_params
from trm.search.space.space import SearchSpace

BESIDE: dict[str, dict[str, Any]] = {
    "model.puzzle_emb_ndim": {"model.puzzle_emb_len": 0},
    "model.mlp_t": {"model.pos_encodings": "none"},
    "start.puzzle_embedding": {"start.from": "x"},
    "optim.rest": {"optim.type": "muon"},
    "model.convolutions": {"model.architecture": "cell_mlp"},
    "model.initial_latents": {"model.halt_max_steps": 1},
    "model.path_noise": {"model.halt_max_steps": 1, "model.path_noise_in": "always"},
    "model.path_noise_in": {"model.path_noise": 0.1},
    "model.dropout": {"model.halt_max_steps": 1},
    "training.hypotheses": {"model.halt_max_steps": 1},
    "evaluation.rollouts": {"evaluation.noise": 0.3},
}
"""What a field's values need beside them, or to be told by what it decides."""
BY_NAME = {"start.puzzle_embedding": "by_name", "start.from": "x"}
NUMBERS: dict[str, list[Any]] = {
    "model.halt_max_steps": [1, 4],
    "model.H_cycles": [1, 2],
    "model.puzzle_emb_ndim": [0, 16],
    "model.path_noise": [0.0, 0.1],
    "model.dropout": [0.0, 0.1],
    "model.convolutions": [0, 2],
    "optim.momentum": [0.0, 0.9],
    "start.from": [None, "x"],
    "training.hypotheses": [1, 2],
    "training.depth_schedule": [None, "cgar"],
    "evaluation.noise": [0.0, 0.3],
    "evaluation.rollouts": [1, 2],
    "evaluation.forms": [1, 2],
}
"""Values of what is needed, where those are no words."""
OWN: dict[str, list[Any]] = {
    "model.rope_theta": [100.0, 1000.0],
    "optim.momentum": [0.25, 0.5],
    "training.depth_schedule": [None, "cgar"],
}
OTHER: dict[Any, tuple[Any, Any]] = {float: (0.25, 0.5), int: (2, 3), str: ("x", "y")}


def _words(annotation: Any) -> list[Any]:
    parts = (annotation, *get_args(annotation))
    found = [True, False] if annotation is bool else [word for part in parts for word in get_args(part)]
    return [word for word in found if isinstance(word, str | bool)]


def _cases() -> Iterator[tuple[str, str]]:
    for path, leaf in leaves().items():
        if path.startswith("data.") or path == "start.digest":
            continue
        needs = [one for variant in leaf.variants if not variant.is_imported for one in needs_of(variant)]
        fields = {field for one in needs for field in one.fields if not field.startswith("data.")}
        yield from ((path, field) for field in sorted(fields))


def _base(path: str, field: str) -> dict[str, Any]:
    base: dict[str, Any] = {"model": {"halt_max_steps": 4}}
    for at, tags in {**leaves()[path].where, **leaves()[field].where}.items():
        if at != field:
            put(base, at, tags[-1 if at == "optim.type" else 0])  # muon trains all
    for at, value in {**BESIDE.get(field, {}), **(BY_NAME if path == "start.trained_on" else {})}.items():
        if at != field:
            put(base, at, value)
    return base


def _space(base: dict[str, Any], knobs: dict[str, Any]) -> SearchSpace:
    data, budget = {"recipe": "datasets/sudoku4x4.yaml"}, {"trials": 4, "per_trial": 1e12}
    return SearchSpace.model_validate({"name": "needs", "data": data, "base": base, "search": knobs, "budget": budget})


def _values(path: str, tags: dict[str, Any]) -> list[Any]:
    info = leaves()[path].variant(tags).info
    if path in OWN:
        return OWN[path]
    if words := _words(info.annotation):
        return words[:2]
    kind = next(kind for kind in OTHER if kind in (info.annotation, *get_args(info.annotation)))
    return list(OTHER[kind])


@pytest.mark.parametrize(("path", "field"), list(_cases()))
def test_what_a_field_needs_decides_where_it_is_refused_searched_and_one_run(path: str, field: str) -> None:
    base = _base(path, field)
    needed = NUMBERS.get(field) or _words(leaves()[field].variant(written_tags(base)).info.annotation)
    own = _values(path, written_tags(base))
    runs = [with_params(base, {field: value}) for value in needed]
    there = {value: exists(path, written_tags(run)) for value, run in zip(needed, runs, strict=True)}
    acting = [value for value, run in zip(needed, runs, strict=True) if there[value] and unmet(path, run) is None]
    for run in runs:
        said = with_params(run, {path: own[1] if own[1] != _default(path, run) else own[0]})
        if exists(path, written_tags(run)):
            assert (path in {one.path for one in idle(said)}) == (unmet(path, run) is not None)
    knobs = {at: {"type": "choice", "values": values} for at, values in ((field, needed), (path, own))}
    if not acting:
        with pytest.raises(ValueError, match=f"search.{path} changes nothing where"):
            _space(base, knobs)
        return
    made = _space(base, knobs)
    for params in all_params(made):
        assert (path in params) == (params[field] in acting)
    for value in needed:
        if value not in acting and there[value]:
            told = {made.run_config({field: value, path: one}, seed=0).network_digest() for one in own}
            assert told == {made.run_config({field: value}, seed=0).network_digest()}


def _default(path: str, run: dict[str, Any]) -> Any:
    return leaves()[path].variant(written_tags(run)).info.get_default(call_default_factory=True)
