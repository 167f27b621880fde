"""Which data set a run trains on."""

from typing import Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from trm.config.base import Written


class DataConfig(Written):
    """Which data set: a recipe, built when it is missing, or the folder of a built one."""

    recipe: str | None = None
    """Path of a recipe YAML (`datasets/NAME.yaml`)."""
    folder: str | None = None
    """Folder of a built data set (holds manifest.json)."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields to replace, for instance `path`."""
    mode: Literal["auto", "resident", "stream"] = "auto"
    """Where training rows wait: in memory, or on storage until they are needed; auto: by size, and written down for a resume."""
    shuffle_window_rows: int = Field(65536, ge=1)
    """Rows that `stream` shuffles among each other, in whole row groups; two windows are held in memory."""

    @property
    def is_streamed(self) -> bool:
        """Whether training rows come in the order of a stream."""
        return self.mode == "stream"

    def built(self, folder: str) -> "DataConfig":
        """These data, named by the folder in which they were built."""
        return self.model_copy(update={"recipe": None, "folder": folder, "overrides": {}})

    def order(self) -> dict[str, Any]:
        """What decides the order of training rows; `auto` that nothing resolved is resident."""
        return {"mode": "stream", "shuffle_window_rows": self.shuffle_window_rows} if self.is_streamed else {"mode": "resident"}

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if (self.recipe is None) == (self.folder is None):
            given = "neither was given" if self.recipe is None else f"got recipe {self.recipe!r} and folder {self.folder!r}"
            raise ValueError(f"data needs one of recipe and folder, {given}; give one of them")
        if self.folder is not None and self.overrides:
            raise ValueError(f"data.overrides change a recipe, but folder {self.folder!r} is built already; drop one")
        return self
