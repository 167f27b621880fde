"""pydantic's complaints, said as rule, value and remedy with the whole path of the key."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trm.config.unions import members_in, models_in
from trm.errors import InputError

Location = tuple[int | str, ...]

BOUNDS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}
TYPES = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "byte_size": "a number of bytes such as 200GB",
    "byte_size_unit": "a number of bytes such as 200GB",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
}
FAR_LIKENESS = 0.8
"""Of a key of another section, of 1, to be what was meant: beside it any word is like something."""
SHOWN_LENGTH = 80
"""Characters of a value that a message shows."""
PLAIN = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Problem:
    """One broken rule: `text` says path, rule and value; `remedy` says what to do."""

    text: str
    remedy: str
    rule: str = field(default="", compare=False)
    """Which rule it is, whatever the values: equal for all that break one; empty: nobody asked."""


def nearest(name: str, names: Sequence[str], *, likeness: float = 0.6) -> str | None:
    """The one of `names` that `name` was probably meant to be, upper and lower case alike; None when none is so near."""
    by_lower = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=likeness)
    return by_lower[found[0]] if found else None


def problems_of(model: type[BaseModel], error: ValidationError, *, with_rules: bool = True) -> list[Problem]:
    """Every problem of a ValidationError of `model`, in the order of the file, each once; or only those of a single key."""
    errors = [dict(details) for details in error.errors(include_url=False)]
    problems = [
        replace(_problem(model, details), rule=_rule(model, details))
        for details in errors
        if with_rules or details["type"] != "value_error"
    ]
    return list(dict.fromkeys(problems))


def _rule(model: type[BaseModel], details: Mapping[str, Any]) -> str:
    """What is one for all values that break one rule: where a validator raises, else the kind of complaint and its path."""
    trace = getattr(details.get("ctx", {}).get("error"), "__traceback__", None)
    if trace is None:
        return f"{details['type']} {_readable(model, details['loc'])}"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def problem_at(model: type[BaseModel], path: str, error: ValidationError) -> Problem:
    """The first problem of a value that was validated by itself and stands at the dotted `path` of `model`."""
    details: dict[str, Any] = dict(error.errors(include_url=False)[0])
    return _problem(model, {**details, "loc": tuple(path.split(".")) + details["loc"]})


def not_among(path: str, value: Any, allowed: Sequence[Any]) -> Problem:
    """The complaint about a value that is none of those that may stand at `path`, with the nearest one."""
    names = [str(one) for one in allowed]
    near = nearest(value, names) if isinstance(value, str) else None
    remedy = f"did you mean {near}?" if near else "choose one of them"
    return Problem(f"{path} must be one of {', '.join(names)}, got {_short(value)}", remedy)


def paths_of(annotation: Any, prefix: str = "") -> Iterator[str]:
    """Dotted path of every field below a model's fields, sections included (not into lists and mappings)."""
    for kind in models_in(annotation):
        for name, info in kind.model_fields.items():
            yield f"{prefix}{name}"
            yield from paths_of(info.annotation, f"{prefix}{name}.")


def unknown_key(model: Any, parents: Location, key: str) -> Problem:
    """The complaint about `key` under `parents`, with the nearest right key: a sibling first, else one elsewhere in `model`."""
    siblings = sorted({name for kind in models_in(_walk(model, parents)[0]) for name in kind.model_fields})
    prefix = _readable(model, parents)
    path = f"{prefix}.{key}" if prefix else key
    variant = _other_variant(model, parents, key)
    if variant is not None:
        name, right = variant
        whole = f"{prefix}, as by --set {prefix}='{{{name}: {parents[-1]}}}'"
        return Problem(f"{path} goes with {name} {right}, not {parents[-1]}", f"remove it, or replace the whole {whole}")
    section, dot, rest = key.partition(".")
    if dot and section in siblings:
        return Problem(f"{path} is not a key", f"write {rest} below {section}, or --set {path}=VALUE")
    near = nearest(key, siblings)
    if near is not None:
        return Problem(f"{path} is not a key", f"did you mean {prefix}.{near}?" if prefix else f"did you mean {near}?")
    everywhere = sorted(set(paths_of(model)))
    last = key.split(".")[-1].lower()
    leaf = nearest(last, sorted({other.split(".")[-1] for other in everywhere}), likeness=FAR_LIKENESS)
    far = [other for other in everywhere if other.split(".")[-1] == leaf]
    if far:
        return Problem(f"{path} is not a key", f"did you mean {far[0]}?")
    return Problem(f"{path} is not a key", f"the keys here are {', '.join(siblings)}" if siblings else "remove it")


def _problem(model: type[BaseModel], details: dict[str, Any]) -> Problem:
    location, kind, context = details["loc"], details["type"], details.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return _own_words(model, location, context["error"])
    path, value = _readable(model, location) or "the file", _short(details["input"])
    if kind == "extra_forbidden":
        return unknown_key(model, location[:-1], str(location[-1]))
    if kind == "missing":
        return Problem(f"{path} is required and missing", f"add {path}")
    if kind in BOUNDS:
        sign, key = BOUNDS[kind]
        bound = str(context[key]) if isinstance(context[key], int) else f"{context[key]:.15g}"
        return Problem(f"{path} must be {sign} {bound}, got {value}", f"use a value {sign} {bound}")
    wanted = _wanted(model, location) or TYPES.get(kind)
    if wanted and kind in (*TYPES, "literal_error"):
        return Problem(f"{path} must be {wanted}, got {value}", f"give {wanted}")
    if kind == "string_pattern_mismatch":
        return Problem(f"{path} must match {context['pattern']}, got {value}", "choose another")
    if kind == "invalid_key":
        return Problem(f"a key must be text, got {value}", "put it in quotes or remove it")
    if kind in ("literal_error", "enum"):
        allowed = _literals(_walk(model, location)[0])
        return not_among(path, details["input"], allowed or [str(context.get("expected", ""))])
    if kind == "union_tag_invalid":
        tags = [tag.strip().strip("'") for tag in context["expected_tags"].split(", ")]
        key = context["discriminator"].strip("'")
        written = details["input"].get(key) if isinstance(details["input"], Mapping) else context["tag"]
        return not_among(f"{path}.{key}", written, tags)
    if kind == "union_tag_not_found":
        key = context["discriminator"].strip("'")
        return Problem(f"{path}.{key} is required and missing", f"add {path}.{key}")
    if kind == "too_short":
        return Problem(f"{path} must have at least {context['min_length']} entries, got {value}", "add one")
    return Problem(f"{path}: {details['msg']}, got {value}", "change it so")


def _own_words(model: Any, location: Location, error: Exception) -> Problem:
    """The words of a validator; fields that it tells to set have their whole path, for it knows those of its own model alone."""
    if isinstance(error, InputError):
        return Problem(error.problem, error.remedy)
    annotation, written = _walk(model, location)
    message, path = str(error), ".".join(written)
    text, separator, remedy = message.rpartition("; ")
    fields = {name for kind in models_in(annotation) for name in kind.model_fields}
    if path and fields:
        remedy = re.sub(rf"(?<![\w.])({'|'.join(sorted(fields))})(?=: | \d)", rf"{path}.\1", remedy)
    prefix = f"{path}: " if path else ""
    return Problem(prefix + (text if separator else message), remedy if separator else "change it so")


def _short(value: Any) -> str:
    """`value` as YAML has it, more or less, of bearable length."""
    if isinstance(value, str | list | tuple):
        value = value[:SHOWN_LENGTH]  # of a list at most so many entries, each of which is one letter at least
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 3]}..."


def _literals(annotation: Any) -> list[Any]:
    return [value for member in members_in(annotation) if get_origin(member) is Literal for value in get_args(member)]


def _other_variant(model: Any, parents: Location, key: str) -> tuple[str, str] | None:
    """`type` and `asha`, when `parents` chose a variant of a tagged union and `key` is a field of another one."""
    if not parents:
        return None
    models = models_in(_walk(model, parents[:-1])[0])
    tags = {
        kind: name for kind in models for name, info in kind.model_fields.items() if _literals(info.annotation) == [parents[-1]]
    }
    others = [kind for kind in models if kind not in tags and key in kind.model_fields]
    if not tags or not others:
        return None
    name = next(iter(tags.values()))
    right = " or ".join(str(_literals(kind.model_fields[name].annotation)[0]) for kind in others)
    return name, right


def _wanted(model: Any, location: Location) -> str | None:
    """What a value may be where several types or words are allowed; pydantic complains once for each, its name last."""
    annotation = _walk(model, location[:-1])[0] if location else None
    members = members_in(annotation)
    if not _is_type_name(location[-1:], members):
        return None
    plain = [text for kind, text in PLAIN.items() if kind in members and not (kind is int and float in members)]
    return " or ".join([*plain, *map(str, _literals(annotation))])


def _is_type_name(items: Location, members: list[Any]) -> bool:
    several = [member for member in members if member in PLAIN or get_origin(member) is Literal]
    names = [kind.__name__ for kind in several if kind in PLAIN]
    return bool(items) and len(several) > 1 and (items[0] in names or str(items[0]).startswith(("list[", "literal[")))


def _walk(annotation: Any, location: Location) -> tuple[Any, list[str]]:
    """The annotation at a pydantic location, and the location as a person writes it: without the tags of unions."""
    written: list[str] = []
    for item in location:
        members = members_in(annotation)
        models = models_in(annotation)
        fields = [kind.model_fields[item].annotation for kind in models if isinstance(item, str) and item in kind.model_fields]
        tagged = [] if fields else [kind for kind in models if item in _only_values(kind)]
        generic = [get_args(member)[-1] for member in members if get_origin(member) in (dict, list) and get_args(member)]
        if tagged:
            annotation = tagged[0]
            continue
        if _is_type_name((item,), members):
            annotation = next((member for member in members if get_origin(member) is list), Any) if "[" in str(item) else Any
            continue
        written.append(str(item))
        annotation = fields[0] if fields else generic[0] if generic else Any
    return annotation, written


def _only_values(kind: type[BaseModel]) -> list[Any]:
    """Values of a model's fields that can have only one: its tag."""
    choices = [get_args(info.annotation) for info in kind.model_fields.values() if get_origin(info.annotation) is Literal]
    return [values[0] for values in choices if len(values) == 1]


def _readable(model: Any, location: Location) -> str:
    return ".".join(_walk(model, location)[1])


def named_values(fields: Mapping[str, Any]) -> str:
    """Fields by their paths, and their values, as a message names them."""
    return " and ".join(f"{path} {value}" for path, value in fields.items())
