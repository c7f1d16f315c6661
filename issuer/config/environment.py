"""The environment of this process: variables that look like settings and are none, and what child processes get."""

import difflib
import os
from collections.abc import Collection, Mapping

PREFIX = "ISSUER_"


def unknown_variables(known: Collection[str]) -> list[tuple[str, str]]:
    """The variables that begin with PREFIX and are not known, each with what to do about it."""
    names = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    return [(name, _hint(name, known)) for name in names]


def child_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with additional values, for a child process."""
    return {**os.environ, **values}


def environment_without_settings() -> dict[str, str]:
    """The environment of this process without our settings, of which some are secret, for a command of the operator."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}


def _hint(name: str, known: Collection[str]) -> str:
    own = name.upper().removeprefix(PREFIX)
    nearest = difflib.get_close_matches(own, [one.removeprefix(PREFIX) for one in known], n=1)
    return f"did you mean {PREFIX}{nearest[0]}?" if nearest else "remove it; 'issuer settings' lists the settings"
