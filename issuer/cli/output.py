"""What commands print, on a terminal and in a pipe.

A terminal gets tables that fit its width, and bars of progress. A pipe gets one line for each row, as long as it is,
and nothing is cut off. Names and words of CAs, DNS and callers are foreign: nothing in them may act on the terminal.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

STYLES = {
    "active": "green",
    "processing": "yellow",
    "expired": "bold red",
    "error": "red",
    "ok": "green",
    "failed": "red",
    "unknown": "yellow",
}
SAY_SECONDS = 5.0

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(text: object) -> str:
    """A text on one line in which every character that a terminal could act on is written as an escape."""
    shown = str(text)
    return shown if shown.isprintable() else "".join(map(_visible, shown))


def counted(number: int, noun: str) -> str:
    """So many things: `1 certificate`, `2,000 certificates`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_terminal() -> bool:
    """Whether somebody looks at what is printed."""
    return Console().is_terminal


def say(text: object, *, indent: int = 0, style: str = "", is_error: bool = False) -> None:
    """Print a line. On a terminal, a long one is broken between words, and all of it is indented."""
    console = Console(highlight=False, stderr=is_error)
    if console.is_terminal:
        console.print(Padding(Text(plain(text), style), (0, 0, 0, indent), expand=False))
    else:
        click.echo(f"{' ' * indent}{plain(text)}", err=is_error)


def show_json(document: Any) -> None:
    """Print a JSON value on a line."""
    click.echo(json.dumps(document))


def show_table(titles: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table. numbers: the titles of the columns that are aligned to the right. In a pipe, each row is a line,
    with its cells between vertical bars."""
    cells = [[plain("" if cell is None else cell) for cell in row] for row in rows]
    if is_terminal():
        columns = [
            Column(
                title, overflow="fold", justify="right" if title in numbers else "left", min_width=min(len(title), 8)
            )
            for title in titles
        ]
        table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    for row in [list(titles), *cells]:
        padded = [
            cell.rjust(width) if title in numbers else cell.ljust(width)
            for title, cell, width in zip(titles, row, widths, strict=True)
        ]
        click.echo(" │ ".join(padded).rstrip())


class Bar:
    """How far a long work has come: a bar on a terminal, else a line every few seconds; both on standard error."""

    def __init__(self, progress: Progress | None, title: str) -> None:
        self._progress, self._title = progress, title
        self._task = progress.add_task(title, total=None) if progress else None
        self._said_at = time.monotonic()

    def show(self, done: int, total: int | None, more: str = "") -> None:
        """Show that so many of all are done. total: None if nobody knows it. more: what else there is to say."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, description=plain(f"{self._title} {more}"))
        elif self._title and time.monotonic() - self._said_at >= SAY_SECONDS:
            of_all = f" of {total:,}" if total else ""
            click.echo(plain(f"{self._title}: {done:,}{of_all} {more}".rstrip()), err=True)
            self._said_at = time.monotonic()


@contextmanager
def progress_bar(title: str, *, is_silent: bool = False) -> Iterator[Bar]:
    """A bar for a long work, gone when that is over. is_silent: no lines in place of a bar."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(None, "" if is_silent else title)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    redirected = is_terminal()  # else standard output is a file, which must get what is printed
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirected) as progress:
        yield Bar(progress, title)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
