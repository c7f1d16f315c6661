"""What terminators must know of names beside their certificates, in the forms that nginx and HAProxy read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PLACEHOLDER = "neutral.pem"
"""The file with the certificate for names without one; no name has no dot."""
DEFAULT = "default"
"""The key of the default header; no name is called so."""
NO_HEADER = "none"
"""How HAProxy's map says that a name has no header."""
VALID, ENDED = "valid", "ended"
"""How a certificate stands."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is there for a name. edge_version: `Domain.edge_version` of it, or empty where it must be written anew.
    hsts: the header, None for none. standing: VALID or ENDED. file: its name in versions/."""

    edge_version: str
    serial: str
    hsts: str | None
    standing: str
    file: str


def held_text(held: Held) -> str:
    """A line that says what is held; the version's member keeps the name that files of older releases have."""
    values = asdict(held)
    return json.dumps({"served": values.pop("edge_version")} | values)


def held_of(line: str) -> Held:
    """The inverse of `held_text`. Raises ValueError, TypeError or KeyError for
    any other text."""
    values = json.loads(line)
    return Held(edge_version=values.pop("served"), **values)


def pem_of(folder: Path, name: str) -> Path:
    """Where chain and key of a name are."""
    return folder / f"{name}.pem"


def headers(held: Mapping[str, Held], default: str | None) -> dict[str, str | None]:
    """The default header under DEFAULT, and those of the names that have another. So a new name has no line here."""
    return {DEFAULT: default} | {name: held[name].hsts for name in sorted(held) if held[name].hsts != default}


def for_nginx(standing: str, header: str | None) -> str:
    """What the name of a file tells nginx, which so needs no list: `ended`, `valid`, or the header in short, such as
    `31536000sp`."""
    short = (header or "").removeprefix("max-age=").replace("; includeSubDomains", "s").replace("; preload", "p")
    return short or standing


def for_haproxy(found: Mapping[str, str | None]) -> str:
    """A map file by name, with the default one."""
    return "".join(f"{name} {header or NO_HEADER}\n" for name, header in found.items())


def names_for_haproxy(held: Mapping[str, Held]) -> str:
    """A map file with each name that has a certificate, and how that stands."""
    return "".join(f"{name} {held[name].standing}\n" for name in sorted(held))


def crt_list(folder: Path, names: Iterable[str]) -> str:
    """HAProxy's list of certificate files, each for its name alone."""
    return "".join(f"{pem_of(folder, name)} {name}\n" for name in sorted(names))
