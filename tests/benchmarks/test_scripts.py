"""Every benchmark can still be started: the names that it imports from the project are there."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("benchmarks/**/*.py"))


@cache
def names_in(module: str) -> frozenset[str]:
    """What a module of the project has to give; of a folder also its modules."""
    path = ROOT.joinpath(*module.split("."))
    if path.is_dir() and not path.with_suffix(".py").exists():
        return frozenset(inside.stem for inside in path.iterdir())
    found: set[str] = set()
    for node in ast.parse(path.with_suffix(".py").read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(one.asname or one.name) for one in node.names}
        else:
            found |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return frozenset(found)


@pytest.mark.parametrize("script", SCRIPTS)
def test_imports_what_exists(script: str) -> None:
    for node in ast.walk(ast.parse((ROOT / script).read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("trm", "benchmarks"):
            assert {one.name for one in node.names} - names_in(str(node.module)) == set(), node.module
