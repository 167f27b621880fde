"""YAML in, validated models out: reading, `--set` overrides, and messages that say rule, value and remedy."""

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from trm.config.imports import honour
from trm.config.leaves import leaves
from trm.config.meaning import idle, is_complete
from trm.config.messages import Problem, nearest, problems_of
from trm.config.paths import nested, with_data_beside, with_start_beside
from trm.config.run import RunConfig
from trm.config.shipped import Kind, named_file, shipped_names
from trm.config.unions import Tagged
from trm.console.program import job
from trm.console.redaction import stored
from trm.errors import ConfigError
from trm.files.atomic import write_text_atomic
from trm.files.yaml_values import CORE, SCHEMA, WRITTEN, Limits, YamlReader

Model = TypeVar("Model", bound=BaseModel)

MAX_PROBLEMS_SHOWN = 8
MOST_PLAIN_KEY = 100
"""Characters of a key that both of PyYAML's writers put before its colon."""
KINDS: dict[Kind, tuple[str, set[str]]] = {
    "search space": ("sweep.py", {"search", "budget", "base", "sampler", "scheduler", "objective", "start_points"}),
    "run configuration": ("train.py", {"model", "optim", "training", "evaluation"}),
    "data set recipe": ("build_dataset.py", {"task"}),
}
"""What a YAML file can be: the job that takes it, and keys that only it has."""


class _Dumper(yaml.SafeDumper):
    """Quotes what either schema, YAML 1.1 or the core one, would read as something else than text."""


class _FastDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """The same by libyaml, where PyYAML has it: in a sixth of the time, and of mappings of `_is_plain` values the same bytes."""


for _kind, (_pattern, _first) in SCHEMA.items():
    for _one in (_Dumper, _FastDumper):
        _one.add_implicit_resolver(f"{CORE}{_kind}", re.compile(f"^(?:{_pattern})$"), _first)


def parse_yaml(text: str, source: str, limits: Limits = WRITTEN) -> Any:
    """The value that `text` holds; ConfigError with line and column when it is not YAML, or larger than `limits`."""
    return YamlReader(text, source, limits).value()


def load_yaml(path: str | Path, limits: Limits = WRITTEN) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError when it is missing, unreadable, too large, not YAML or not a mapping."""
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(limits.characters + 1)
    except FileNotFoundError:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")]) if path.parent.is_dir() else None
        near = near or (nearest(path.stem, shipped_names()) if path == Path(path.name) else None)
        raise ConfigError(
            f"{path} does not exist", remedy=f"did you mean {path.with_name(near)}?" if near else "give the path of a YAML file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}", remedy="give the path of a readable YAML file") from error
    value = parse_yaml(text, str(path), limits)
    if not isinstance(value, dict):
        kind = "nothing" if value is None else "a list" if isinstance(value, list) else f"only {str(value)[:40]!r}"
        raise ConfigError(f"{path} must hold a mapping of keys to values, but holds {kind}", remedy="write `key: value` lines")
    return value


def require_kind(mapping: Mapping[str, Any], kind: Kind, source: str | Path) -> None:
    """ConfigError when a file's keys say that it is another of `KINDS` than `kind`."""
    if KINDS[kind][1] & mapping.keys():
        return
    for other, (script, keys) in KINDS.items():
        if keys & mapping.keys():
            raise ConfigError(f"{source} must be a {kind}, but is a {other}", remedy=f"{job(script)} takes it")


def dump_yaml(path: str | Path, mapping: Mapping[str, Any], *, header: str = "") -> None:
    """Writes `mapping` (plain values only) as YAML, keys in their order, atomically; `header` becomes comment lines on top.

    Addresses in it lose their secrets.
    """
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    write_text_atomic(path, comment + yaml_text(stored(mapping)))


def yaml_text(value: Any) -> str:
    """`value` (plain values only) as YAML text that `parse_yaml` reads back equal."""
    plain = _plain(value)
    dumper = _FastDumper if isinstance(plain, dict) and _is_plain(plain) else _Dumper
    return yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    """Whether keys and texts are printable ASCII, and no key is long: there PyYAML's two writers agree, elsewhere they may not."""
    match value:
        case str():
            return value.isascii() and value.isprintable()
        case dict():
            return all(len(str(key)) < MOST_PLAIN_KEY and _is_plain(key) and _is_plain(inner) for key, inner in value.items())
        case list():
            return all(_is_plain(inner) for inner in value)
    return True


def apply_overrides(
    mapping: Mapping[str, Any], overrides: Sequence[str], unions: Mapping[str, Tagged] = MappingProxyType({})
) -> dict[str, Any]:
    """A copy of `mapping` with every `path=value` set: the path is dotted, the value is YAML (`null`, `[1, 2]`, `1e-4`).

    A key that itself contains dots (`search: {optim.lr: ...}`) is found by its longest match; list entries go by index.
    `unions`: key -> a tagged union that stands there, besides those of a run configuration.
    """
    result = copy.deepcopy(dict(mapping))
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        if not equals or not path or "" in path.split("."):
            raise ConfigError(f"an override is path=value, got {override!r}", remedy="write for instance model.H_cycles=2")
        key = path.split(".")[0]
        if key in unions and "." in path and result.get(key) is not None:  # its tag alone may stand for a member
            result[key] = unions[key].named(result[key])
        _set(result, path.split("."), parse_yaml(text, f"--set {path}"), override)
    return result


def _set(node: Any, parts: list[str], value: Any, override: str, above: str = "") -> None:
    if isinstance(node, list):
        key: Any = int(parts[0]) if parts[0].isdecimal() else None
        taken = 1
        if key is None or key >= len(node):
            raise ConfigError(f"--set {override}: {parts[0]!r} is not an index of a list of {len(node)}", remedy="count from 0")
    elif isinstance(node, dict):
        taken = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in node), 1)
        key = ".".join(parts[:taken])
    else:
        raise ConfigError(f"--set {override}: there is a value {node!r} where {parts[0]!r} would go", remedy="shorten the path")
    rest = parts[taken:]
    if not rest:
        node[key] = value
        return
    if isinstance(node, dict) and node.get(key) is None:
        node[key] = {}
    path = f"{above}{key}"
    leaf = leaves().get(path.removeprefix("base."))
    if leaf is not None and leaf.union is not None:  # its tag alone may stand for a member
        node[key] = leaf.union.spelled_out(node[key])
    _set(node[key], rest, value, override, f"{path}.")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; any other value replaces."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        old = result.get(key)
        is_section = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if is_section and old is not None else copy.deepcopy(value)
    return result


def load_run_config(path: str | Path, overrides: Sequence[str] = (), *, is_own: bool = True, is_begun: bool = False) -> RunConfig:
    """The run configuration of a YAML file with `--set` overrides laid over it; ConfigError for everything wrong with it.

    Where a person named the file (`is_own`) its `imports` are imported. What people write that changes nothing is refused, but not
    of a run that has begun (`is_begun`), which goes on as it is, nor what a run or a sweep wrote.
    """
    path = named_file(path, "run configuration")
    mapping = with_data_beside(load_yaml(path), path.parent)
    require_kind(mapping, "run configuration", path)
    is_written = not is_own or is_begun or is_complete(mapping)
    mapping = apply_overrides(mapping, overrides)
    honour_in(mapping, overrides, is_own=is_own)
    mapping = with_start_beside(nested(mapping), path.parent)
    config = validated(RunConfig, mapping, str(path))
    said = [one.partition("=")[0].strip() for one in overrides] if is_own and not is_begun else []
    found = [one for one in idle(mapping) if not is_written or any(f"{one.path}.".startswith(f"{at}.") for at in said)]
    if found:
        raise _refusal([one.problem() for one in found], str(path))
    return config


def honour_in(mapping: Mapping[str, Any], overrides: Sequence[str], *, is_own: bool = True) -> None:
    """Imports what a space or a run names in `imports`, if a person named its file (`is_own`), or said them by an override."""
    names, is_said = mapping.get("imports"), any(one.partition("=")[0].strip() == "imports" for one in overrides)
    if isinstance(names, list) and all(isinstance(name, str) for name in names) and (is_own or is_said):
        honour(names)


def validated(model: type[Model], mapping: Mapping[str, Any], source: str, context: Mapping[str, Any] | None = None) -> Model:
    """`mapping` as a `model`; ConfigError that names source, whole path, rule, value and remedy of every problem.

    `context` is pydantic's: `RECORDED` for what this project wrote itself.
    """
    try:
        return model.model_validate(mapping, context=dict(context) if context else None)
    except ValidationError as error:
        raise _refusal(problems_of(model, error), source) from error


def _refusal(problems: Sequence[Problem], source: str) -> ConfigError:
    """All problems of a file in one message."""
    if len(problems) == 1:
        return ConfigError(f"{source}: {problems[0].text}", remedy=problems[0].remedy)
    lines = [f"  {problem.text}; {problem.remedy}" for problem in problems[:MAX_PROBLEMS_SHOWN]]
    lines += [f"  and {len(problems) - MAX_PROBLEMS_SHOWN} more"] if len(problems) > MAX_PROBLEMS_SHOWN else []
    text = "\n".join([f"{source} has {len(problems)} problems:", *lines])
    return ConfigError(text, remedy="mend them and start again")
