"""The playground's files, as the server gives them: each by its name, under a policy that lets nothing else in."""

from pathlib import Path

import trm

ASSETS = Path(trm.__file__).parent / "pages" / "assets"
PAGE = "playground.html"
STYLES = ("page.css", "puzzles.css", "playground.css")
SCRIPTS = (
    *("page.js", "puzzles.js", "puzzle_editing.js", "puzzle_parts.js"),
    *("playground_server.js", "playground_puzzle.js", "playground_answer.js", "playground.js"),
)
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Content-Security-Policy of the page."""


def playground_files() -> dict[str, tuple[bytes, str]]:
    """Path on the server -> content and media type of a file."""
    files = {"/": (_content(PAGE), "text/html; charset=utf-8")}
    for names, kind in ((STYLES, "text/css"), (SCRIPTS, "text/javascript")):
        files |= {f"/assets/{name}": (_content(name), f"{kind}; charset=utf-8") for name in names}
    return files


def _content(name: str) -> bytes:
    return (ASSETS / name).read_bytes()
