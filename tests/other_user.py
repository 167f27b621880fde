"""A job as another user would run it, in a process of its own: one who may read what he is shown, and write nothing there."""

import os
import subprocess
import sys
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[1]
CODE = """
import importlib, os, sys
for name in {imports}:
    importlib.import_module(name)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({user}); os.setuid({user})
sys.argv = {arguments}
{call}
"""
"""What is imported is imported before: the interpreter may lie where only its owner may read."""


def as_nobody(call: str, *arguments: str | Path, imports: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`call`, a line of Python, with these command-line arguments; who is no superuser runs it as himself."""
    code = CODE.format(imports=imports, user=NOBODY, arguments=list(map(str, arguments)), call=call)
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)


def in_own_process(code: str, *arguments: str) -> str:
    """What `code` prints on standard output, run where the tests' own modules can be imported."""
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    return done.stdout


def show_only(folder: Path) -> None:
    """Everybody may read what is in the folder, and nobody but a superuser may write there."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in folder.parents:
        status = parent.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o055 != 0o055:
            parent.chmod(status.st_mode | 0o055)


def give_back(folder: Path) -> None:
    """The owner may write again."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
