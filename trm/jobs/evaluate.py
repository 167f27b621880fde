"""Trained weights from wherever they lie, scored on a whole split, shown and reported. No Ray is needed for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from trm.console.redaction import stored
from trm.console.streams import say
from trm.distributed import SOLO
from trm.files.atomic import write_text_atomic
from trm.files.fetched_weights import fetched_weights, is_url
from trm.jobs.evaluation.forms import forms_lines
from trm.jobs.evaluation.front import front_lines
from trm.jobs.evaluation.gang import evaluated_by_gang
from trm.jobs.evaluation.identifiers import ablation_lines
from trm.jobs.evaluation.lock import held_folder
from trm.jobs.evaluation.options import EvaluateOptions, check_options
from trm.jobs.evaluation.speed import speed_lines
from trm.jobs.evaluation.table import table
from trm.jobs.evaluation.work import evaluated
from trm.terminal.command_line import show


def run_evaluation(options: EvaluateOptions) -> int:
    """Score, show a table, write the report; the exit code. Raises InputError for what a person can mend."""
    if options.across:
        from trm.jobs.evaluation.across import run_across

        return run_across(options)
    if is_url(options.path):
        with fetched_weights(options.path, Path(options.storage)) as fetched:
            for name, digest in fetched.digests.items():
                say(f"fetched {name} of {fetched.url} (SHA-256 {digest})")
            return run_evaluation(replace(options, path=str(fetched.path), fetched=fetched))
    check_options(options)
    with held_folder(None if options.folder is None else Path(options.folder)):
        report = _report(options)
    front = front_lines(report["front"]) if "front" in report else forms_lines(report.get("forms", []))
    show("\n".join([table(report), *ablation_lines(report.get("identifiers", [])), *front, *speed_lines(report.get("speed"))]))
    if options.folder is not None:
        say(f"{options.folder} has {', '.join(sorted(path.name for path in Path(options.folder).iterdir()))}")
    if options.out is not None:
        write_text_atomic(options.out, json.dumps(stored(report), indent=1, allow_nan=False) + "\n")
    return 0


def _report(options: EvaluateOptions) -> dict[str, Any]:
    return evaluated(options, SOLO, say) if options.workers == 1 else evaluated_by_gang(options)
