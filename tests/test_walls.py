"""The walls between the rooms: import-linter's contracts, what an import drags in, and what stands in the repository."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("trm", "ray_jobs", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py"))
JOBS = sorted((ROOT / "ray_jobs").glob("*.py"))


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def imported(path: Path) -> set[str]:
    """Top names of everything that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_imports_point_down() -> None:
    run = subprocess.run([Path(sys.executable).parent / "lint-imports"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("ray", ("trm/cluster/",)),
        ("mlflow", ("trm/tracking/store.py", *(f"trm/release/{name}.py" for name in ("registry", "registered", "pyfunc_model")))),
        ("optuna", ("trm/search/",)),
    ],
)
def test_a_package_stays_in_its_room(package: str, rooms: tuple[str, ...]) -> None:
    users = [path.relative_to(ROOT).as_posix() for path in SOURCES if package in imported(path)]
    assert users, "nobody imports it"
    assert [user for user in users if not user.startswith((*rooms, "tests/", "benchmarks/"))] == []


def test_nothing_unpickles_or_evaluates() -> None:
    """But for numba's compiled code, which has no other form: it comes from `own_cache`, which this user alone can write."""
    forbidden = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    unpickling = [path for path in SOURCES if path.is_relative_to(ROOT / "trm") and imported(path) & forbidden]
    assert [path.name for path in unpickling] == ["compiled.py"]
    source = unpickling[0].read_text()
    assert source.count("pickle.load") == 1
    assert "content = kept(" in source
    assert "pickle.loads(content)" in source


LIGHT = "trm.config.run", "trm.errors", "trm.search.search", "trm.search.space.space", "trm.data.batches.plan", "trm.models.cost"


@pytest.mark.parametrize("module", LIGHT)
def test_light_rooms_stay_light(module: str) -> None:
    heavy = "torch", "ray", "mlflow", "matplotlib"
    assert python(f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_help_needs_no_large_library(job: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", str(job), "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "usage" in run.stdout
    imports = [line.split("|") for line in run.stderr.splitlines() if line.startswith("import time:") and "cumulative" not in line]
    assert not {name.strip() for *_, name in imports} & {"torch", "ray", "mlflow", "numpy", "optuna", "pydantic"}


def test_init_files_import_nothing() -> None:
    assert [str(path) for path in (ROOT / "trm").rglob("__init__.py") if imported(path)] == []


def test_packages_have_a_line_on_themselves() -> None:
    for path in (ROOT / "trm").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
