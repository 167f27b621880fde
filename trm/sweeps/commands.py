"""How a sweep was started, and the commands that follow from it, as one would type them."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from trm.console.program import PROGRAM, is_program, word_of
from trm.console.redaction import in_addresses
from trm.sweeps.places import is_ray_job
from trm.tracking.places import mlflow_steps, program

SUBMIT = "ray job submit --working-dir . -- "
JOBS = "ray_jobs"


@dataclass(frozen=True)
class Invocation:
    """What stood on the command line, and the folders that came of it."""

    space_path: str
    overrides: tuple[str, ...]
    storage: Path
    folder: Path

    @property
    def resume(self) -> str:
        """The command that goes on with the sweep as it is."""
        trials = [text.removeprefix("budget.trials=") for text in self.overrides if text.startswith("budget.trials=")]
        return f"{self._again}{f' --trials {trials[-1]}' if trials else ''} --resume"

    def next_steps(self, larger: tuple[str, str] | None, tracking_uri: str | None, *, is_confirmed: bool) -> list[tuple[str, str]]:
        """(what for, command) after a sweep, its winner confirmed or not; `larger`: `status.larger_budget`."""
        from trm.pages.sweep import REPORT  # brings numpy; a driver has it at its end, `--help` has not

        commands = [] if tracking_uri is None else mlflow_steps(self.folder, tracking_uri)
        page = self.folder / REPORT
        told = f"see all of it in a browser, as {_shown(page)} or served" if page.is_file() else "see all of it in a browser"
        commands.append((told, f"{job_command('view.py')} {shlex.quote(_shown(self.folder))} --live"))
        return commands + next_steps(self.folder, self.resume, larger, is_confirmed=is_confirmed)

    @property
    def _again(self) -> str:
        """With the values that were replaced when it began, but for the number of trials."""
        submit = SUBMIT if is_ray_job() else ""
        kept = [text for text in self.overrides if not text.startswith("budget.trials=")]
        words = [self.space_path, "--storage", _shown(self.storage), "--name", self.folder.name]
        words += [word for text in kept for word in ("--set", in_addresses(text))]
        return f"{submit}{job_command('sweep.py')} {shlex.join(words)}"


def next_steps(folder: Path, resume: str, larger: tuple[str, str] | None, *, is_confirmed: bool) -> list[tuple[str, str]]:
    """(what for, command) with the winner of a sweep's folder, and with the sweep that `resume` goes on with."""
    where, commands = shlex.quote(_shown(folder)), []
    if (folder / "best").is_dir():
        commands += [
            ("score the winner again", f"{job_command('evaluate.py')} {where}/best --split test"),
            ("train the winner's configuration anew", f"{job_command('train.py')} {where}/best/config.yaml"),
        ]
    if not is_confirmed:
        commands.append(("confirm the best on fresh seeds", with_option(resume, "--confirm 3")))
    if larger is not None:
        commands.append((f"go on with the sweep, {larger[0]}", with_option(resume, larger[1])))
    return commands


def winner_steps(folder: Path) -> list[tuple[str, str]]:
    """(what for, command) that hands the winner of a sweep's folder to others."""
    where = shlex.quote(_shown(folder))
    if not (folder / "best").is_dir():
        return []
    return [
        ("pose the winner puzzles in a browser", f"{job_command('serve.py')} {where}/best"),
        ("hand the winner on, with a model card", f"{job_command('release.py')} {where}"),
    ]


def recorded_resume(command: str, folder: Path) -> str:
    """The command that a sweep's file says goes on with it, for where the folder lies now; empty unless it is one of ours."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    script = next((number for number in range(len(words)) if _ends_with_sweep(words[: number + 1])), None)
    if script is None:
        return ""
    space, options = words[script + 1 : script + 2], words[script + 2 :]
    if not space or space[0].startswith("-"):
        return ""
    rest = list[str]()
    while options:
        option = options.pop(0)
        if option == "--resume":
            continue
        if option not in ("--storage", "--name", "--set", "--trials", "--confirm", "--audit") or not options:
            return ""
        value = options.pop(0)
        if option not in ("--storage", "--name"):
            rest += [option, value]
    submit = SUBMIT if words[:3] == SUBMIT.split()[:3] else ""
    here = [*space, "--storage", _shown(folder.absolute().parent), "--name", folder.absolute().name, *rest, "--resume"]
    return f"{submit}{job_command('sweep.py')} {shlex.join(here)}"


def _ends_with_sweep(words: list[str]) -> bool:
    """Whether the last of the words names the job of sweeps, as a script or behind the installed program."""
    is_word = words[-1] == "sweep" and Path(words[-2:][0]).name == PROGRAM
    return is_word or Path(words[-1]).absolute().parts[-2:] == (JOBS, "sweep.py")


def with_option(resume: str, option: str) -> str:
    """A command that goes on with a sweep, with a further option; of several `--trials` the new one."""
    before = resume.removesuffix(" --resume")
    if option.startswith("--trials "):
        before = re.sub(r" --trials \d+$", "", before)
    return f"{before} {option} --resume"


def job_command(script: str) -> str:
    """How one types a job here: `python ray_jobs/SCRIPT` in a checkout, elsewhere by the path of the job that runs.

    As a word of the installed program where that is what runs.
    """
    if is_program():
        return f"{program(PROGRAM)} {word_of(script)}"
    jobs = Path(sys.argv[0]).absolute().parent
    is_known = jobs.name == JOBS and not is_ray_job()
    return f"{program('python')} {shlex.quote(_shown(jobs / script) if is_known else f'{JOBS}/{script}')}"


def _shown(path: Path) -> str:
    """The path as one would type it here."""
    if is_ray_job():
        return str(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
