"""The lists that nginx and HAProxy read besides the certificates."""

from pathlib import Path

import pytest

from issuer.edge.sync import lists
from issuer.edge.sync.lists import Held

FOLDER = Path("/edge")
DEFAULT = "max-age=5184000"


def held(**headers: str | None) -> dict[str, Held]:
    return {f"{name}.example": Held("version", "0f", header, "valid", "file") for name, header in headers.items()}


@pytest.mark.parametrize(
    ("default", "haproxy"),
    [
        (None, f"default none\nb.example {DEFAULT}\nc.example max-age=1; preload\n"),
        (DEFAULT, f"default {DEFAULT}\na.example none\nc.example max-age=1; preload\n"),
    ],
)
def test_h03_the_default_and_the_names_that_differ_in_order(default: str | None, haproxy: str) -> None:
    headers = lists.headers(held(c="max-age=1; preload", b=DEFAULT, a=None), default)
    assert lists.for_haproxy(headers) == haproxy


@pytest.mark.parametrize(
    ("standing", "header", "short"),
    [
        ("valid", "max-age=60", "60"),
        ("valid", "max-age=60; includeSubDomains", "60s"),
        ("valid", "max-age=60; includeSubDomains; preload", "60sp"),
        ("valid", "max-age=0", "0"),
        ("valid", None, "valid"),
        ("ended", None, "ended"),
    ],
)
def test_h03_the_part_of_a_file_name_that_nginx_reads(standing: str, header: str | None, short: str) -> None:
    assert lists.for_nginx(standing, header) == short


def test_a_new_name_of_the_default_policy_changes_no_list_of_headers() -> None:
    assert lists.headers(held(a=DEFAULT), DEFAULT) == lists.headers(held(a=DEFAULT, b=DEFAULT), DEFAULT)


def test_names_and_files_in_order() -> None:
    names = held(b=None, a=None)
    assert lists.names_for_haproxy(names) == "a.example valid\nb.example valid\n"
    assert (
        lists.crt_list(FOLDER, names)
        == "/edge/a.example.pem a.example a.example.\n/edge/b.example.pem b.example b.example.\n"
    )
