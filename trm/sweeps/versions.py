"""Versions of the packages that a sweep or a run was made with, and digests of what it imported."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from trm import __version__
from trm.config.imports import import_versions

if TYPE_CHECKING:
    from trm.search.state import SweepState

OURS = "trm-search"
PACKAGES = (OURS, "torch", "ray", "optuna", "mlflow", "numpy", "pyarrow", "pydantic")
"""What a sweep is made with."""
OF_SEARCH = ("optuna",)
"""Of these only a sweep's."""


def installed_version(name: str) -> str:
    """Version of a package, `none` where it is not installed; of ours that of the sources which run, installed or not."""
    if name == OURS:
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def sweep_versions() -> dict[str, str]:
    """What a sweep that runs here is made with."""
    return {"python": platform.python_version()} | {name: installed_version(name) for name in PACKAGES} | import_versions()


def run_versions() -> dict[str, str]:
    """What a run that is no trial is made with."""
    return {name: installed_version(name) for name in PACKAGES if name not in OF_SEARCH} | import_versions()


def told_versions(state: "SweepState", now: Mapping[str, str]) -> list[str]:
    """How what a resume runs with differs from what the sweep began with, and from its last driver's, a line each."""
    began = state.started.versions if state.started is not None else {}
    before = state.driver.versions if state.driver is not None else {}
    lines = [f"the sweep began with {change}" for change in changed_versions(began, now)]
    since = {name: version for name, version in before.items() if began.get(name) == now.get(name) or name not in began}
    return lines + [f"the sweep's last driver had {change}" for change in changed_versions(since, now)]


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What was recorded of packages, where it is another now: `torch 2.1, and has 2.2 now`."""
    return [f"{name} {version}, and has {now[name]} now" for name, version in before.items() if now.get(name, version) != version]
