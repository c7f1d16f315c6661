"""What terminators must know about names besides their certificates, in the formats of nginx and HAProxy."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PLACEHOLDER = "neutral.pem"
"""The file with the placeholder certificate; it cannot be a name's file, as every name has a dot."""
DEFAULT = "default"
"""The key of the default header; no name is `default`, as every name has a dot."""
NO_HEADER = "none"
"""The value in HAProxy's map for a name without a header."""
VALID, ENDED = "valid", "ended"
"""Whether a certificate is valid or has expired."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the directory holds for a name. edge_version: its `Domain.edge_version`; empty if it is outdated and must be
    written again. hsts: the header, None for none. standing: VALID or ENDED. file: its name in versions/."""

    edge_version: str
    serial: str
    hsts: str | None
    standing: str
    file: str


def held_text(held: Held) -> str:
    """The first line of a file, as JSON. Its member for the version is `served`, as in files of older releases."""
    values = asdict(held)
    return json.dumps({"served": values.pop("edge_version")} | values)


def held_of(line: str) -> Held:
    """The inverse of `held_text`. Raises ValueError, TypeError or KeyError for any other text."""
    values = json.loads(line)
    return Held(edge_version=values.pop("served"), **values)


def pem_of(folder: Path, name: str) -> Path:
    """The path of a name's chain and key."""
    return folder / f"{name}.pem"


def headers(held: Mapping[str, Held], default: str | None) -> dict[str, str | None]:
    """The default header under DEFAULT, and the header of every name that has another. Most names need no entry."""
    return {DEFAULT: default} | {name: held[name].hsts for name in sorted(held) if held[name].hsts != default}


def for_nginx(standing: str, header: str | None) -> str:
    """The part of a file name that nginx reads instead of a list: `ended`, `valid`, or a short form of the header, such
    as `31536000sp`."""
    short = (header or "").removeprefix("max-age=").replace("; includeSubDomains", "s").replace("; preload", "p")
    return short or standing


def for_haproxy(headers_by_name: Mapping[str, str | None]) -> str:
    """A map file with the header of each name, from `headers`."""
    return "".join(f"{name} {header or NO_HEADER}\n" for name, header in headers_by_name.items())


def names_for_haproxy(held: Mapping[str, Held]) -> str:
    """A map file with each name that has a certificate, and whether it is valid."""
    return "".join(f"{name} {held[name].standing}\n" for name in sorted(held))


def crt_list(folder: Path, names: Iterable[str]) -> str:
    """HAProxy's list of certificate files, each for only its own name."""
    return "".join(f"{crt_list_line(folder, name)}\n" for name in sorted(names))


def crt_list_line(folder: Path, name: str) -> str:
    """The line of a name in that list. Some clients send the name with a dot at its end."""
    return f"{pem_of(folder, name)} {name} {name}."
