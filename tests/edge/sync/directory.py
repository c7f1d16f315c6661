"""What lies in a directory of the sync."""

import stat
from pathlib import Path

NAME, OTHER, THIRD = (f"{one}.customer.example" for one in ("name", "other", "third"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> set[str]:
    return {one.name.removesuffix(".pem") for one in path.glob("*.pem") if one.is_symlink()}


def read(path: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in path.iterdir() if one.is_file() and one.name != "state.json"}


def marks(path: Path) -> dict[str, str]:
    """What the names of the files tell nginx, by domain."""
    links = {one.name.removesuffix(".pem"): one.readlink() for one in path.glob("*.pem") if one.is_symlink()}
    return {name: link.name.split(".")[1] for name, link in links.items()}
