"""Settings as texts: their values as variables, and what is wrong with one."""

import json

from pydantic import BaseModel, SecretStr, ValidationError


def refusals(error: ValidationError, prefix: str) -> list[str]:
    """One line for each wrong value, with the name of its variable: `ISSUER_CAS[0].directory: …`."""
    return [_refusal(details["loc"], details["msg"], prefix) for details in error.errors()]


def value_text(value: object) -> str:
    """A value as its variable has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple) and any(isinstance(member, BaseModel) for member in value):
        members = [member.model_dump(exclude_unset=True) for member in value]
        return json.dumps(members, default=lambda secret: secret.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(value_text(member) for member in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refusal(loc: tuple[int | str, ...], message: str, prefix: str) -> str:
    message = message.removeprefix("Value error, ")
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    return f"{prefix}{str(loc[0]).upper()}{inside}: {message}" if loc else message
