"""Jobs that look at what another user's folders hold: they need not write there; what may not be read is one message."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input_cases import contents, prepared, scored_sweep
from other_user import NOBODY, as_nobody, give_back, in_own_process, place_for_all, show_only

RUN = """
import contextlib, importlib, io, json, os, pkgutil, sys
from bad_input_cases import run
import trm.jobs
for module in pkgutil.walk_packages(trm.jobs.__path__, "trm.jobs."):
    importlib.import_module(module.name)

def told(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(*words)
        except Exception as error:
            code = repr(error)
    return code, out.getvalue(), err.getvalue()

warm, jobs = json.loads(sys.argv[1])
for words in warm:  # brings every module that a job needs: the interpreter, and the code, may lie where only their owner may read
    told(words)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({user}); os.setuid({user})
print(json.dumps([told(words) for words in jobs]))
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with place_for_all() as all_of_it:
        (place := all_of_it / "others").mkdir()
        prepared(place)
        journal = scored_sweep(place, "scored") / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n")
        show_only(place)
        yield place
        give_back(place)


LOOKS = [
    ("sweep", "--status", "{place}/runs/scored"),
    ("sweep", "--replay", "{place}/runs/scored"),
    ("build_dataset", "--show", "{place}/data"),
    ("evaluate", "{place}/run"),
]
WORDS = (
    "sweep tiny: its driver was killed",
    "all of them as they follow",
    "tiny (sudoku), {place}/data",
    "test split of tiny: 10 examples",
)
WRITES = [
    ("sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--name", "scored", "--resume"),
    ("build_dataset", "{place}/recipe.yaml", "--out", "{place}/new"),
    ("evaluate", "{place}/run", "--out", "{place}/report.json"),
    ("train", "--resume", "{place}/run"),
]
HIDDEN = [
    ("sweep", "--status", "{place}/runs/scored"),
    ("sweep", "--replay", "{place}/runs/scored"),
    ("sweep", "{place}/space.yaml", "--warm-start", "{place}/runs/scored", "--storage", "{home}"),
    ("sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--name", "scored", "--resume"),
    ("evaluate", "{place}/runs/scored/best"),
    ("build_dataset", "--show", "{place}/runs"),
]


def done(place: Path, jobs: list[tuple[str, ...]]) -> list[tuple[int | str, str, str]]:
    """What the jobs come to as another user: exit code, output, errors."""
    home = place.parent / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    named = [[[word.format(place=place, home=home) for word in words] for words in some] for some in (LOOKS, jobs)]
    return [tuple(one) for one in json.loads(in_own_process(RUN.replace("{user}", str(NOBODY)), json.dumps(named)))]


def check_told(code: int | str, said: str) -> None:
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, len(errors)) == (2, 1), (code, said)
    assert "ermission denied" in errors[0]


def test_who_may_only_read_sees_and_is_told(place: Path) -> None:
    before = contents(place)
    found = done(place, LOOKS + WRITES)
    for (code, shown, said), words in zip(found, WORDS, strict=False):
        assert code == 0, said
        assert words.format(place=place) in shown
    for code, _, said in found[len(LOOKS) :]:
        check_told(code, said)
    assert contents(place) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="the owner of a folder that nobody may enter enters it")
def test_what_may_not_be_read_is_one_message(place: Path) -> None:
    (place / "runs").chmod(0o700)
    try:
        found = done(place, HIDDEN)
    finally:
        (place / "runs").chmod(0o555)
    for code, _, said in found:
        check_told(code, said)


@pytest.mark.skipif(os.geteuid() != 0, reason="the owner of a folder that nobody may enter enters it")
def test_code_whose_checkout_may_not_be_read_is_of_none() -> None:
    with place_for_all() as all_of_it:
        (hidden := all_of_it / "hidden").mkdir(0o700)
        call = f"import trm; trm.__file__ = '{hidden}/trm/__init__.py'; print(trm.jobs.evaluation.environment.commit())"
        done = as_nobody(call, imports=("trm.jobs.evaluation.environment",))
    assert (done.stdout, done.returncode) == ("None\n", 0), done.stderr
