"""Reading a directory of the sync."""

import stat
from pathlib import Path

NAME, OTHER, THIRD = (f"{label}.customer.example" for label in ("name", "other", "third"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> set[str]:
    return {link.name.removesuffix(".pem") for link in path.glob("*.pem") if link.is_symlink()}


def read(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.iterdir() if file.is_file() and file.name != "state.json"}


def marks(path: Path) -> dict[str, str]:
    """The parts of the file names that nginx reads, by domain."""
    links = {link.name.removesuffix(".pem"): link.readlink() for link in path.glob("*.pem") if link.is_symlink()}
    return {name: target.name.split(".")[1] for name, target in links.items()}
