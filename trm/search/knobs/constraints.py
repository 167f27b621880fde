"""Constraints as expressions over names, evaluated without `eval`: comparisons and arithmetic, nothing that can reach out."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from simpleeval import EvalWithCompoundTypes

from trm.config.messages import nearest
from trm.errors import ConfigError

MAX_LENGTH = 500
MAX_POWER_BITS = 1024
MAX_KNOWN = 64
"""Answers that a rule remembers."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "log2": math.log2,
}

_ALLOWED = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot),
    *(ast.IfExp, ast.Call, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List),
)


def _numbers(operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) for side in (left, right)):
            raise TypeError(f"arithmetic needs numbers, got {left!r} and {right!r}")
        return operate(left, right)

    return checked


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and abs(left).bit_length() * abs(right) > MAX_POWER_BITS:
        raise OverflowError(f"{left} ** {right} is too large")
    result = left**right
    if isinstance(result, complex):
        raise ValueError(f"{left} ** {right} is not a real number")
    return result


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _numbers(operator.add),
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
    ast.FloorDiv: _numbers(operator.floordiv),
    ast.Mod: _numbers(operator.mod),
    ast.Pow: _numbers(_power),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
}


class Constraint:
    """One rule that a configuration keeps or breaks, such as `hidden_size % num_heads == 0`."""

    def __init__(self, text: str, known: frozenset[str]) -> None:
        """Parses `text`; ConfigError when it is no expression, too long, or uses a name that is not in `known`."""
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ConfigError(
                f"constraint {text[:40]!r}... has {len(text)} characters, at most {MAX_LENGTH}", remedy="split it in two"
            )
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"constraint {text!r} is not an expression", remedy="write for instance step_gflops <= 5") from error
        self.names = _checked_names(text, tree, known)
        self._parsed = tree.body
        self._evaluator = EvalWithCompoundTypes(operators=OPERATORS, functions=dict(FUNCTIONS))
        self._ordered = tuple(sorted(self.names))
        self._known: dict[tuple[Any, ...], bool] = {}
        """Answers by values: most rules are about a few that come again and again."""

    def is_kept(self, values: Mapping[str, Any]) -> bool:
        """Whether the rule holds for `values`; ConfigError when it cannot be computed or is not true/false.

        A rule about a field that the configuration does not have, of which `values` has no name, is kept.
        """
        if not self.names <= values.keys():
            return True
        key = tuple((type(values[name]), values[name]) for name in self._ordered)
        if key not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = self._computed(values)
        return self._known[key]

    def _computed(self, values: Mapping[str, Any]) -> bool:
        self._evaluator.names = {name: values[name] for name in self.names}
        try:
            result = self._evaluator.eval(self.text, previously_parsed=self._parsed)
        except Exception as error:  # whatever the arithmetic of a user's rule meets
            shown = " with " + ", ".join(f"{name}={values[name]!r}" for name in sorted(self.names)) if self.names else ""
            raise ConfigError(
                f"constraint {self.text!r} cannot be computed{shown}: {error}",
                remedy="guard it, for instance with `x > 0 and ...`",
            ) from error
        if not isinstance(result, bool):
            raise ConfigError(f"constraint {self.text!r} gives {result!r}, not true or false", remedy="compare it with something")
        return result


def _checked_names(text: str, tree: ast.Expression, known: frozenset[str]) -> frozenset[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ConfigError(
                f"constraint {text!r} uses {type(node).__name__}, which is not allowed",
                remedy=f"use names, numbers, comparisons, arithmetic, and {', '.join(FUNCTIONS)}",
            )
        if isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS):
            raise ConfigError(f"constraint {text!r} calls an unknown function", remedy=f"the functions are {', '.join(FUNCTIONS)}")
        if isinstance(node, ast.Name) and id(node) not in called:
            names.add(node.id)
    unknown = sorted(names - known)
    if unknown:
        near = nearest(unknown[0], sorted(known))
        remedy = f"did you mean {near}?" if near else f"the names are {', '.join(sorted(known))}"
        raise ConfigError(f"constraint {text!r} uses {unknown[0]}, which is not a name", remedy=remedy)
    return frozenset(names)
