"""The pages and the files agree: docs/map.md and README's rooms say what the files say of themselves, and every link leads on.

`python tests/test_map.py`, or `make map`, writes the map and README's lines anew.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP, README = ROOT / "docs" / "map.md", ROOT / "README.md"
PAGES = [README, *(ROOT / name / "README.md" for name in ("docker", "k8s")), *sorted((ROOT / "docs").rglob("*.md"))]
AGAIN = "type `make map` (or `python tests/test_map.py`) and commit what it writes"
HEAD = """# Map

A line a file: the first line of what it says of itself. `make map` writes this page, a test holds it.
Rooms import downwards only, as `pyproject.toml` lists them.
"""
OTHERS = {
    "ray_jobs": "Entry points for a shell and for `ray job submit`.",
    "benchmarks": "A script a question; rows with device, commit, configuration and spread.",
    "tests": "Folders that mirror `trm/`; what tests share lies in `fixtures`.",
}
ROOM = re.compile(r"^\| `trm/\w+/` \|.*\n", re.MULTILINE)
SAID = re.compile(r'(?:#!.*\n)?(?:"""|//|/\*) ?(.+?)(?:"""|\*/|$)', re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
VARIES = re.compile(r"\.\.\.|\b[A-Z]{4,}(?::[A-Z]+)?\b|(?<![\w+])[A-Z](?![\w+])|\b\d+\b")
"""What stands in a quoted message for what the program fills in."""
NAMED = re.compile(r"`((?:trm|tests|benchmarks|ray_jobs|search_spaces|datasets|docs)/[\w./-]*\w/?)`")


def first_line(path: Path) -> str:
    """The first line of a Python file's docstring, or of another file's first comment."""
    said = SAID.match(path.read_text())
    assert said, (
        f"{path.relative_to(ROOT)} does not say what it is: give it a docstring (C++, JavaScript, CSS: a comment) as its first line"
    )
    return said[1].strip()


def lines_of(folder: Path) -> list[str]:
    """A line a file of the folder, and those of the folders in it, which begin with a line on themselves."""
    files = sorted(
        path for path in folder.iterdir() if path.suffix in (".py", ".cpp", ".hpp", ".js", ".css") and path.name != "__init__.py"
    )
    lines = [f"- `{path.name}` {first_line(path)}" for path in files]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and (any(path.glob("*.py")) or path.name == "assets")):
        own = inner / "__init__.py"
        about = f": {first_line(own)}" if own.exists() else ""
        lines += ["", f"**`{inner.relative_to(ROOT).as_posix()}/`**{about}", "", *lines_of(inner)]
    return lines


def rooms() -> list[Path]:
    """The folders of `trm`, by name."""
    return sorted(path.parent for path in (ROOT / "trm").glob("*/__init__.py"))


def rendered_map() -> str:
    """What docs/map.md should be."""
    parts = [HEAD, f"## trm\n\n{first_line(ROOT / 'trm' / '__init__.py')}\n"]
    parts += [
        "\n".join(f"- `{path.name}` {first_line(path)}" for path in sorted((ROOT / "trm").glob("*.py")) if path.stem != "__init__")
        + "\n"
    ]
    for room in rooms():
        lines = "\n".join(lines_of(room)).strip("\n")
        parts.append(f"## trm/{room.name}\n\n{first_line(room / '__init__.py')}\n\n{lines}\n")
    for name, about in OTHERS.items():
        parts.append(f"## {name}\n\n{about}\n\n" + "\n".join(lines_of(ROOT / name)).strip("\n") + "\n")
    return "\n".join(parts)


def rendered_rooms() -> str:
    """README's lines on the folders of `trm`."""
    return "".join(f"| `trm/{room.name}/` | {first_line(room / '__init__.py')} |\n" for room in rooms())


def with_rooms(text: str) -> str:
    """README's text with its lines on rooms as they should be."""
    found = list(ROOM.finditer(text))
    return text[: found[0].start()] + rendered_rooms() + text[found[-1].end() :]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#` in a page, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_is_what_the_files_say() -> None:
    assert MAP.read_text() == rendered_map(), AGAIN


def test_the_readme_has_every_room() -> None:
    assert "".join(ROOM.findall(README.read_text())) == rendered_rooms(), AGAIN


def test_every_room_has_a_page() -> None:
    index = (ROOT / "docs" / "how" / "README.md").read_text()
    assert [room.name for room in rooms() if f"`{room.name}`" not in index] == [], "name it in docs/how/README.md, with its page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert file.exists(), f"{target} is not there; mend the link"
        assert not anchor or anchor in anchors(file), f"{target}: no heading of that page is called so"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "log.md"], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_pages_name_files_that_are_there(page: Path) -> None:
    """But for the log, which tells of the past."""
    names = [name for name in NAMED.findall(page.read_text()) if "NAME" not in name]
    gone = [name for name in names if not (ROOT / name).exists()]
    assert gone == [], f"{page.relative_to(ROOT)} names what is not there (any more): say where it is now"


def test_every_dependency_has_its_reasons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=]", one)[0] for one in wanted}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in names if not re.search(rf"^\|.*\b{name}\b", page, re.MULTILINE)} == set(), "say there what it is for"


def printed() -> str:
    """Every text in the code of `trm`, a line each; what is filled in is a NUL."""
    texts = []
    for node in (node for path in (ROOT / "trm").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return "\n".join(texts)


def test_the_runbook_quotes_what_is_printed() -> None:
    """Of each quoted message, every stretch of three words and more between what varies."""
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    quotes = [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]
    parts = [part.strip(" :;,()") for quote in quotes for part in VARIES.split(quote)]
    texts = printed()
    assert [part for part in parts if len(part.split()) >= 3 and part not in texts] == [], (
        "say in docs/runbook.md what is printed now"
    )


if __name__ == "__main__":
    MAP.write_text(rendered_map())
    README.write_text(with_rooms(README.read_text()))
