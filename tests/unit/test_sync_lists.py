"""The lists that nginx and HAProxy read beside the certificates."""

from pathlib import Path

import pytest

from issuer.sync import lists
from issuer.sync.lists import Held

FOLDER = Path("/edge")
DEFAULT = "max-age=5184000"


def held(**headers: str | None) -> dict[str, Held]:
    return {f"{name}.example": Held("served", "0f", header, "file") for name, header in headers.items()}


@pytest.mark.parametrize(
    ("default", "nginx", "haproxy"),
    [
        (DEFAULT, f'default "{DEFAULT}";\na.example "";\nc.example "max-age=1; preload";\n', None),
        ("max-age=1; preload", f'default "max-age=1; preload";\na.example "";\nb.example "{DEFAULT}";\n', None),
        (None, None, f"default none\nb.example {DEFAULT}\nc.example max-age=1; preload\n"),
        (DEFAULT, None, f"default {DEFAULT}\na.example none\nc.example max-age=1; preload\n"),
    ],
)
def test_h03_the_default_and_the_names_that_differ_in_order(
    default: str | None, nginx: str | None, haproxy: str | None
) -> None:
    found = lists.headers(held(c="max-age=1; preload", b=DEFAULT, a=None), default)
    assert nginx is None or lists.for_nginx(found) == nginx
    assert haproxy is None or lists.for_haproxy(found) == haproxy


def test_a_new_name_of_the_default_policy_changes_no_list_of_headers() -> None:
    assert lists.headers(held(a=DEFAULT), DEFAULT) == lists.headers(held(a=DEFAULT, b=DEFAULT), DEFAULT)


def test_names_and_files_in_order() -> None:
    names = held(b=None, a=None)
    assert lists.names_for_haproxy(names) == "a.example yes\nb.example yes\n"
    assert lists.crt_list(FOLDER, names) == "/edge/a.example.pem a.example\n/edge/b.example.pem b.example\n"
