"""Images, compose file and manifests agree: commands that exist, one Ray, time to save before the end, no field misspelt."""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from trm.console.program import PROGRAM
from trm.jobs import program

ROOT = Path(__file__).parents[1]
IMAGE, CUDA = ROOT / "docker" / "Dockerfile", ROOT / "docker" / "Dockerfile.cuda"
MANIFESTS = sorted((ROOT / "k8s").glob("*.yaml"))
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
PAGES = [ROOT / "docker" / "README.md", ROOT / "k8s" / "README.md"]
WAIT = "RAY_JOB_STOP_WAIT_TIME_S"


def instructions(path: Path) -> list[str]:
    """A Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [" ".join(one.split()) for one in "\n".join(lines).replace("\\\n", " ").splitlines()]


def environment(path: Path) -> dict[str, str]:
    """What the image's ENV instructions say, the last word of each."""
    words = [word for one in instructions(path) if one.startswith("ENV ") for word in shlex.split(one[4:])]
    return dict(word.split("=", 1) for word in words)


def found(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, anywhere in a YAML file."""
    if isinstance(value, dict):
        yield from (inner for name, inner in value.items() if name == key)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


def test_the_images_differ_in_torch_and_what_shows_gpus() -> None:
    cpu, cuda = instructions(IMAGE), instructions(CUDA)
    assert [one for one in cpu if one not in cuda and not one.startswith("ENV ")] == [
        'ARG TORCH_INDEX=""',
        'RUN pip install -c /opt/trm/constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch',
    ]
    assert [one for one in cuda if one not in cpu and not one.startswith("ENV ")] == [
        "RUN pip install -c /opt/trm/constraints.txt torch"
    ]
    more = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    assert environment(CUDA) == environment(IMAGE) | more


def test_what_the_images_take_is_there_and_let_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    taken = {name for one in instructions(IMAGE) if re.match(r"COPY (?!--from)", one) for name in one.split()[1:-1]}
    assert taken == let_through
    assert not [name for name in taken if not (ROOT / name).exists()]


def test_jobs_have_time_to_save_before_their_end() -> None:
    seconds = int(environment(IMAGE)[WAIT])
    grace = [one for path in MANIFESTS for one in found(yaml.safe_load(path.read_text()), "terminationGracePeriodSeconds")]
    assert len(grace) == 6
    assert min(grace) > seconds
    for name in ("head", "worker"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > seconds


def gibibytes(quantity: str) -> float:
    return float(quantity.removesuffix("Gi"))


def test_shared_memory_holds_the_objects_of_ray() -> None:
    """Ray takes 30 % of the memory for objects, and with less than that in /dev/shm puts them into files."""
    pods = [pod for path in MANIFESTS for one in found(yaml.safe_load(path.read_text()), "template") for pod in [one["spec"]]]
    assert len(pods) == 6
    for pod in pods:
        (container,), volumes = pod["containers"], {volume["name"]: volume for volume in pod["volumes"]}
        assert gibibytes(volumes["shm"]["emptyDir"]["sizeLimit"]) > 0.3 * gibibytes(container["resources"]["limits"]["memory"])
    for name in ("head", "worker"):
        service = COMPOSE["services"][name]
        (asked,) = (int(word.split("=")[1]) for word in service["command"] if word.startswith("--object-store-memory"))
        assert int(service["shm_size"].removesuffix("gb")) * 10**9 > asked


def test_the_manifests_are_for_the_ray_that_is_tested() -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    versions = {one for path in MANIFESTS for one in found(yaml.safe_load(path.read_text()), "rayVersion")}
    assert pinned
    assert versions == {pinned[1]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_misspelt_field_is_found(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text())
    schema = json.loads((ROOT / "k8s" / "schemas" / f"{manifest['kind']}.schema.json").read_text())
    jsonschema.validate(manifest, schema)
    manifest["spec"]["misspelt"] = []
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        jsonschema.validate(manifest, schema)


def test_the_compose_file_declares_what_its_services_use() -> None:
    for kind in ("secrets", "volumes"):
        used = {one.split(":")[0] for service in COMPOSE["services"].values() for one in service.get(kind, [])}
        assert {one for one in used if not one.startswith(".")} == COMPOSE[kind].keys()
        assert not [one for one in used if one.startswith(".") and not (IMAGE.parent / one).is_file()]
    needed = {name for service in COMPOSE["services"].values() for name in service.get("depends_on", {})}
    assert needed < COMPOSE["services"].keys()
    made = {f"./{one}" for one in re.findall(r"secrets/[\w.]+$|secrets/\w[\w.]*", (ROOT / "docker" / "make_secrets").read_text())}
    assert {one["file"].replace("${TRM_SECRETS:-./secrets}", "./secrets") for one in COMPOSE["secrets"].values()} <= made


def commands() -> list[str]:
    """Every call of the program in manifests and pages, as it stands there."""
    given = [one for path in MANIFESTS for one in found(yaml.safe_load(path.read_text()), "entrypoint")]
    typed = [
        line for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S) for line in block.splitlines()
    ]
    return [
        match[0].split(" #")[0].strip() for line in [*given, *typed] if (match := re.search(rf"{PROGRAM} [a-z][a-z-]* .*", line))
    ]


class _WasParsed(Exception):
    """Ends a job as soon as its command line was understood."""


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one_that_the_program_takes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[argparse.Namespace] = []
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser) -> argparse.Namespace:
        parsed.append(parse(parser))
        raise _WasParsed

    monkeypatch.setattr(sys, "argv", shlex.split(command))
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(_WasParsed):
        program._main()
    space = getattr(parsed[0], "space", None)
    assert space is None or (ROOT / "search_spaces" / f"{space}.yaml").is_file()


def test_both_pages_start_a_cluster_alike() -> None:
    """It was typed as it stands there: what one page learns, the other has to say too."""
    first = [
        re.search(r"```sh\n(.*?ray start.*?)```", (ROOT / page).read_text(), re.S) for page in ("README.md", "docs/cluster.md")
    ]
    blocks = [match[1].split("```sh\n")[-1] for match in first if match]
    assert len(blocks) == 2
    assert blocks[0] == blocks[1]
