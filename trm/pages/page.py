"""A page: one HTML file that holds all it needs, opens from disk without a network, and asks nobody for anything.

Data and plotly are gzipped into it and unpacked by the browser. Its Content-Security-Policy allows the scripts that stand in it, by
their digests, and nothing else: a name that somebody gave a sweep is text, wherever it ends up.
"""

import base64
import gzip
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trm.console.redaction import stored
from trm.errors import ConfigError
from trm.files.atomic import replacing

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    *("page.js", "chosen.js", "table.js", "charts.js", "marks.js", "lines.js", "parallel.js"),
    *("sweep.js", "sweep_charts.js", "pairs.js", "timeline.js", "live.js"),
    *("puzzles.js", "puzzle_editing.js", "puzzle_parts.js", "puzzle_list.js", "puzzle_browser.js"),
)
"""Of every page, in the order in which they run."""
STYLES = ("page.css", "puzzles.css")
LEVEL = 6
"""Of gzip: 9 takes a tenth longer and saves nothing."""
EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""plotly adds an empty style sheet and fills it by rules, which is allowed."""


@dataclass(frozen=True)
class Section:
    """A part of a page, drawn by the renderer of its name (`TRM.section` in an asset)."""

    name: str
    title: str
    data: Any
    """JSON; what is not finite becomes null."""
    needs_charts: bool = False
    """Whether its renderer calls `TRM.plotly()`."""


@dataclass(frozen=True)
class Page:
    """What a browser shows."""

    title: str
    kind: str
    """sweep | run | evaluation | data set | ...: what the page is of."""
    sections: Sequence[Section]
    about: str = ""
    """A line under the title."""
    shared: Any = None
    """What several sections draw (`page.shared` for renderers); JSON."""
    live: str | None = None
    """Address, on the page's own server, of the sections as they are now; null: a file."""
    version: str = ""
    """Of a live page, what it is as of: the server is asked for what is newer."""


def page_bytes(page: Page) -> bytes:
    """The file of a page."""
    scripts = [(ASSETS / name).read_text() for name in SCRIPTS]
    styles = [(ASSETS / name).read_text() for name in STYLES]
    head = {name: getattr(page, name) for name in ("title", "kind", "about", "live", "version", "shared")}
    head["sections"] = section_heads(page)
    blocks = [_block("page-data", packed(head))]
    blocks += [_block(f"section-{index}", packed(section.data)) for index, section in enumerate(page.sections)]
    hashes = [_digest(text) for text in scripts]
    if page.live is not None or any(section.needs_charts for section in page.sections):
        plotly, digest = _plotly()
        blocks.append(_block("plotly", plotly))
        hashes.append(digest)
    values = {
        "policy": policy(hashes, [_digest(text) for text in styles], is_live=page.live is not None),
        "title": html.escape(page.title),
        "styles": "\n".join(f"<style>{text}</style>" for text in styles),
        "blocks": "\n".join(blocks),
        "scripts": "\n".join(f"<script>{text}</script>" for text in scripts),
    }
    return _filled((ASSETS / "template.html").read_text(), values).encode()


def write_page(page: Page, path: str | Path) -> None:
    """Write a page's file, whole or not at all."""
    content = page_bytes(page)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def section_heads(page: Page) -> list[dict[str, str]]:
    """What a page says of its sections before their data is unpacked."""
    return [{"name": section.name, "title": section.title} for section in page.sections]


def policy(scripts: Sequence[str], styles: Sequence[str], *, is_live: bool) -> str:
    """The Content-Security-Policy of a page with scripts and style sheets of these digests.

    Style attributes are plotly's, which sets sizes by them.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(scripts)}",
            f"style-src-elem {' '.join([*styles, EMPTY_STYLE])}",
            "style-src-attr 'unsafe-inline'",
            "img-src data: blob:",
            f"connect-src {chr(39)}self{chr(39)}" if is_live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def packed(data: Any) -> str:
    """JSON as the page unpacks it: gzip in base64. Equal data are equal texts."""
    return _base64_gzip(json.dumps(finite(data), allow_nan=False, separators=(",", ":")).encode())


def finite(data: Any) -> Any:
    """JSON that every browser reads: what is not a finite number is null. Addresses are without their secrets."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, str):
        return stored(data)
    if isinstance(data, Mapping):
        return {stored(str(key)): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


@cache
def _plotly() -> tuple[str, str]:
    """plotly's JavaScript as its package carries it, packed, and its digest; no Python of it is imported."""
    spec = find_spec("plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise ConfigError("a page's charts are drawn by plotly, which is not installed", remedy="pip install plotly")
    content = path.read_bytes()
    return _base64_gzip(content), _digest(content.decode())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def _base64_gzip(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, LEVEL, mtime=0)).decode()


def _block(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>'


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with each `{{name}}` replaced, once; what was put in is not looked at again."""
    first, *parts = template.split("{{")
    pieces = [first]
    for part in parts:
        name, _, rest = part.partition("}}")
        pieces += [values[name], rest]
    return "".join(pieces)
