"""Packages that only some installations have."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def load(module: str, *, setting: str, extra: str) -> Any:
    """A module of an optional package. Raises SystemExit, in one line, if the package is not installed. setting: the
    variable that needs it. extra: the extra of this package that installs it."""
    try:
        is_there = find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it
        is_there = False
    if not is_there:
        raise SystemExit(f"{setting}: the Python package {module} is not installed: pip install 'issuer[{extra}]'")
    return import_module(module)
