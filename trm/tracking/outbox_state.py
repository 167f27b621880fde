"""How far a sweep or a run went out to a tracking store, and where to: `tracking.json` of its folder, a note for people."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from trm.console.redaction import in_addresses
from trm.files.atomic import write_text_atomic
from trm.files.contained import inside
from trm.tracking.pages import Pages


@dataclass
class OutboxState:
    """What went out, and where to: `tracking.json` of a sweep folder."""

    uri: str = ""
    """The store's address without its secrets."""
    store: str = ""
    """Digest of that: another store starts from the beginning."""
    experiment: str = ""
    sent: int = 0
    """Journal events that the store took: for people, since the store itself is asked how far it is."""
    artifacts: dict[str, list[int]] = field(default_factory=dict)
    """Size and time of change of every file as it was uploaded, and its size in the store."""
    experiment_id: str = ""
    """The store's number of the experiment."""
    run_id: str = ""
    """The store's name of the sweep's run, or of the run."""
    view: str = ""
    """Key of the view of the sweep's trials; empty: there is none."""

    @property
    def pages(self) -> Pages:
        """Where the store's pages show it, as far as is known."""
        return Pages(self.experiment_id, self.view, {None: self.run_id} if self.run_id else {})

    @classmethod
    def load(cls, folder: Path, uri: str, experiment: str) -> "OutboxState":
        """The state of the sweep folder for this store and experiment; a fresh one when they are new to it."""
        shown = in_addresses(uri)  # a password that changes leaves the store what it is
        whole, public = (hashlib.sha256(f"{text}\n{experiment}".encode()).hexdigest()[:16] for text in (uri, shown))
        found = cls.read(folder)
        if found is None or found.store not in (public, whole):
            return cls(shown, public, experiment)
        return replace(found, store=public)

    @classmethod
    def read(cls, folder: Path) -> "OutboxState | None":
        """What the sweep folder's note says, whatever store it is about; None without one that can be understood."""
        try:
            found = STATE.validate_json(inside(folder, "tracking.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if found.experiment else None

    def save(self, folder: Path) -> None:
        """Replace the file, durably."""
        write_text_atomic(folder / "tracking.json", json.dumps(asdict(self), indent=1) + "\n")


STATE = TypeAdapter(OutboxState)
