"""Versions of the packages that a sweep or a run was made with, and digests of what it imported."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from trm.config.imports import import_versions

PACKAGES = ("trm-search", "torch", "ray", "optuna", "mlflow", "numpy", "pyarrow", "pydantic")
"""What a sweep is made with."""
OF_SEARCH = ("optuna",)
"""Of these only a sweep's."""


def installed_version(name: str) -> str:
    """Version of a package, `none` where it is not installed, as of ours when it is run from a checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def sweep_versions() -> dict[str, str]:
    """What a sweep that runs here is made with."""
    return {name: installed_version(name) for name in PACKAGES} | import_versions()


def run_versions() -> dict[str, str]:
    """What a run that is no trial is made with."""
    return {name: installed_version(name) for name in PACKAGES if name not in OF_SEARCH} | import_versions()


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What was recorded of packages, where it is another now: `torch 2.1, and has 2.2 now`."""
    return [f"{name} {version}, and has {now[name]} now" for name, version in before.items() if now.get(name, version) != version]
