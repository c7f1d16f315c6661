"""What the documents promise: their size, their links, and that what they name is there."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import click
import pytest

from issuer.cli import main
from issuer.config import PREFIX, Settings
from issuer.problem import TABLE, ProblemType
from web.errors import STATUS

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README_LINES, README_WORDS = 120, 900
CONTRIBUTING_LINES = 120
GLOSSARY_TERMS = 25
WIDEST_TABLE_ROW = 210

FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
WORD = r"[\w./=:'\"{}…-]+"
COMMAND = re.compile(rf"(?:^|(?<=[\s`$(;]))(?:/opt/issuer/bin/|\.venv/bin/)?issuer((?: +{WORD})+)", re.MULTILINE)


def text_of(path: Path) -> str:
    return path.read_text()


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(text: str) -> Iterator[str]:
    """What stands in fences and in code spans."""
    yield from FENCE.findall(text)
    yield from SPAN.findall(FENCE.sub("", text))


def headings(text: str) -> set[str]:
    """The anchors that a page has, as repository hosts make them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found}


def unknown_command(words: list[str]) -> str | None:
    """What of a command line the command does not have; None where all is there."""
    command, path = main, "issuer"
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--"):
            options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            if option not in options:
                return f"{path} {option}"
        elif isinstance(command, click.Group) and re.match("[a-z]", word):
            path, found = f"{path} {word}", command.get_command(click.Context(command), word)
            if found is None:
                return path
            command = found
    return None


def test_the_readme_keeps_its_budget() -> None:
    text = text_of(ROOT / "README.md")
    assert text.count("\n") <= README_LINES
    assert len(text.split()) <= README_WORDS


def test_contributing_keeps_its_budget() -> None:
    assert text_of(ROOT / "CONTRIBUTING.md").count("\n") <= CONTRIBUTING_LINES


def test_the_glossary_stays_short() -> None:
    terms = re.findall(r"^\| \*\*", text_of(ROOT / "docs" / "glossary.md"), re.MULTILINE)
    assert 0 < len(terms) <= GLOSSARY_TERMS


def test_the_readme_leads_to_every_page() -> None:
    linked = set(LINK.findall(text_of(ROOT / "README.md")))
    assert {identity(path) for path in DOCS} - {"README.md"} <= linked


@pytest.mark.parametrize("path", DOCS, ids=identity)
def test_links_lead_to_what_is_there(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(path))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in headings(text_of(target)), link


@pytest.mark.parametrize("path", DOCS, ids=identity)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text_of(path))) <= known


@pytest.mark.parametrize("path", DOCS, ids=identity)
def test_every_command_that_is_named_is_one(path: Path) -> None:
    for code in code_of(text_of(path)):
        for arguments in COMMAND.findall(code):
            assert unknown_command(arguments.split()) is None, f"issuer{arguments}"


@pytest.mark.parametrize("path", DOCS, ids=identity)
def test_tables_are_not_too_wide_to_read(path: Path) -> None:
    rows = [line for line in FENCE.sub("", text_of(path)).splitlines() if line.startswith("|")]
    assert [row for row in rows if len(row) > WIDEST_TABLE_ROW] == []


def test_the_api_page_has_every_problem_as_the_table_has_it() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (\w+) \| (yes|no) \| (.+?) \|$", api_page(), re.MULTILINE)
    wanted = [
        (
            type_.value,
            str(STATUS[type_].value) if type_ in STATUS else "-",
            TABLE[type_].actor.value,
            "yes" if TABLE[type_].is_permanent else "no",
            TABLE[type_].message,
        )
        for type_ in sorted(ProblemType)
    ]
    assert rows == wanted


def test_the_api_page_says_what_to_do_about_every_problem() -> None:
    explained = set(re.findall(r"^- `([a-z-]+)`: ", api_page(), re.MULTILINE))
    assert explained >= {type_.value for type_ in ProblemType}


def test_the_api_page_names_every_status_code_of_errors() -> None:
    for status in {*STATUS.values(), HTTPStatus.INTERNAL_SERVER_ERROR}:
        assert str(status.value) in api_page()


def api_page() -> str:
    return text_of(ROOT / "docs" / "api.md")
