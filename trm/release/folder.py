"""A release's folder: what answers on another machine that has only this project's wheel.

README.md            the model card
config.yaml          the complete run configuration
model.safetensors    the weights, with their digest
report.json          their evaluation, as the sweep or the run wrote it
dataset.json         manifest of the data set: what tokens mean, how many puzzles there were
data_card.md         the data set's card: source, licence, how to cite it
examples.json        a few puzzles with their right answers, to try it on
identifiers.*        the data set's own table, or list, of what the rows of a puzzle embedding are called
release.json         every figure of the card, for machines
"""

import json
import shutil
from pathlib import Path

from trm.console.redaction import stored
from trm.data.format.manifest import IDENTIFIER_NAMES, read_manifest
from trm.data.format.storage import is_local, join, read_bytes
from trm.errors import ConfigError, DatasetError, SweepError
from trm.files.atomic import fsync_file, replacing_folder, usual_mode, why_unwritable, write_bytes_atomic, write_text_atomic
from trm.files.contained import inside
from trm.files.weight_files import MODEL_FILE
from trm.release.card import card
from trm.release.data_card import data_card
from trm.release.facts import Facts, digest_of_file
from trm.release.handed_on import config_text, report_handed_on
from trm.release.source import ReleaseSource
from trm.serving.examples import EXAMPLES_COPY, examples_of
from trm.serving.opening import MANIFEST_COPY
from trm.serving.solver import Solver
from trm.tasks.places import data_beside
from trm.training.run_folder import REPORT_FILE
from trm.training.weights import CONFIG_FILE, read_weights

RELEASE_FILE, CARD_FILE, DATA_CARD_FILE = "release.json", "README.md", "data_card.md"


def check_out(out: Path) -> None:
    """ConfigError where a release would replace what is none, or cannot be written."""
    if out.exists() and not (out / RELEASE_FILE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"a release replaces a release and nothing else, and {out} is none", remedy="name a new folder by --out")
    if (reason := why_unwritable(out.absolute().parent)) is not None:
        raise ConfigError(f"a release must have a folder that can be written, got {out} ({reason})", remedy="name another by --out")


def write_release(source: ReleaseSource, facts: Facts, out: Path) -> list[str]:
    """Write the folder, whole or not at all; what a person should know of it, in lines."""
    read_weights(source.best)  # refuses what is not whole
    folder, lines = _folder_of_data(source)
    names, examples = dict[str, bytes](), None
    if folder is not None:
        examples = examples_of(Solver.open(source.best, data=folder, device="cpu"))
        names = _names(source, folder)
    with replacing_folder(out) as new:
        with usual_mode(new / MODEL_FILE):
            shutil.copyfile(inside(source.best, MODEL_FILE), new / MODEL_FILE)
        fsync_file(new / MODEL_FILE)
        write_text_atomic(new / CONFIG_FILE, config_text(source.best))
        for name in (CONFIG_FILE, MODEL_FILE):
            if digest_of_file(new / name) != facts["digests"][name]:
                raise SweepError(f"{source.best} became another while it was released", remedy="the same command tries again")
        report = source.report if source.retrained is None else source.retrained.report
        write_text_atomic(new / REPORT_FILE, json.dumps(stored(report_handed_on(report)), indent=1, sort_keys=True) + "\n")
        write_text_atomic(new / MANIFEST_COPY, source.manifest.model_dump_json(indent=1) + "\n")
        for name, content in names.items():
            write_bytes_atomic(new / name, content)
        if examples is not None:
            write_text_atomic(new / EXAMPLES_COPY, json.dumps({"examples": examples}) + "\n")
        if text := data_card(source.data, source.manifest).text:
            write_text_atomic(new / DATA_CARD_FILE, text)
        write_text_atomic(new / RELEASE_FILE, json.dumps(stored(facts), indent=1, allow_nan=False) + "\n")
        write_text_atomic(new / CARD_FILE, card(stored(facts)))
    return lines


def _folder_of_data(source: ReleaseSource) -> tuple[str | None, list[str]]:
    """Where the data lie, and a line where they do not: then the release has neither examples nor names."""
    data = data_beside(source.config.data.built(source.data_folder), source.best, source.manifest.content_hash)
    folder = str(data.folder)
    try:
        if not is_local(folder) or read_manifest(folder).content_hash != source.manifest.content_hash:
            raise DatasetError(f"{folder} is not the sweep's data", remedy="bring them here")
    except DatasetError as error:
        return None, [f"the release has no examples and names no identifiers: {error}"]
    return folder, []


def _names(source: ReleaseSource, folder: str) -> dict[str, bytes]:
    """The data set's files that say what the rows of the puzzle embedding are called, by name."""
    if not source.config.model.puzzle_ndim:
        return {}
    manifest = source.manifest
    table = [] if manifest.identifiers is None else [manifest.identifiers.file]
    names = [*table, *(info.file for info in manifest.attachments if info.file == IDENTIFIER_NAMES)]
    what, remedy = "list of identifiers", "build the data set again"
    return {name: read_bytes(join(folder, name), what=what, remedy=remedy) for name in names}
