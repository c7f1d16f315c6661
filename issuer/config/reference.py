"""What can be set, told for people: the rows of `issuer settings`, and the text of docs/settings.md."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from issuer.config.cas import CaLimits, CaSettings
from issuer.config.processes import ProcessSettings
from issuer.config.settings import PREFIX, Settings

NONE = "none"
HIDDEN = "set, and not shown"
BEGINNING = """\
# Settings

Every setting is an environment variable. A wrong value stops the start, with one line that names it. `issuer settings`
prints this list with the present values. This file is generated: `make settings` writes it anew.
"""
PROCESSES = (
    "`issuer run` reads these. gunicorn also reads `GUNICORN_CMD_ARGS`, whose options are added to those of `web`."
)
CAS = 'The members of each object in `ISSUER_CAS`, such as `[{"directory": "https://…", "profile": "tlsserver"}]`.'
LIMITS = (
    "The members of `limits`. What a CA allows is counted here before the CA is asked. A rate is a number and a time "
    "in `s`, `m`, `h` or `d`, such as `300/3h`; an empty text is no limit."
)


@dataclass(frozen=True, slots=True)
class SettingReference:
    """One setting as it is shown. values: what it may be, empty where its meaning says so. present: its value in this
    process; no secret is in it."""

    variable: str
    meaning: str
    values: str
    default: str
    present: str = ""


def describe_settings() -> list[SettingReference]:
    """Every variable, with its present value or what is wrong with it."""
    return [*_rows(Settings, PREFIX, is_variable=True), *_rows(ProcessSettings, "", is_variable=True)]


def settings_markdown() -> str:
    """The text of docs/settings.md: the same whatever is set."""
    tables = [
        _table("variable", _rows(Settings, PREFIX, is_variable=False)),
        f"## Processes\n\n{PROCESSES}\n\n" + _table("variable", _rows(ProcessSettings, "", is_variable=False)),
        f"## Several CAs\n\n{CAS}\n\n" + _table("member", _rows(CaSettings, None, is_variable=False)),
        f"### Limits of a CA\n\n{LIMITS}\n\n" + _table("member", _rows(CaLimits, None, is_variable=False)),
    ]
    return "\n".join([BEGINNING, *tables])


def _rows(model: type[BaseModel], prefix: str | None, *, is_variable: bool) -> Iterator[SettingReference]:
    for name, field in model.model_fields.items():
        variable = name if prefix is None else f"{prefix}{name.upper()}"
        present = _present(variable, field) if is_variable else ""
        yield SettingReference(variable, field.description or "", _values(field), _default(field), present)


def _present(variable: str, field: FieldInfo) -> str:
    """The value of a variable, read as the product reads it."""
    texts = {name.upper(): text for name, text in os.environ.items()}
    if variable not in texts:
        return _default(field)
    try:
        reader: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
        value = reader.validate_python(texts[variable])
    except ValidationError as error:
        return f"wrong: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    return _shown(value)


def _default(field: FieldInfo) -> str:
    if field.is_required() or (field.default == () and (field.description or "").startswith("Required.")):
        return "none (required)"
    default = field.default
    if isinstance(default, SecretStr):
        return default.get_secret_value() or NONE
    return _shown(default)


def _shown(value: Any) -> str:
    """A value without its secrets."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else NONE
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_unset=True) if value.model_fields_set else NONE
    if isinstance(value, tuple):
        shown = ", ".join(_shown(member) for member in value) if HIDDEN not in map(_shown, value) else HIDDEN
        return shown or NONE
    if isinstance(value, bool):
        return str(value).lower()
    return NONE if value is None or str(value) == "" else str(value)


def _values(field: FieldInfo) -> str:
    """What a value may be: its bounds, or a list of words."""
    bounds = {type(bound): bound for bound in field.metadata}
    low, high = _low(bounds), _high(bounds)
    if low or high:
        return f"{low} to {high}" if low and high and not low.startswith("above") else f"{low}, at most {high}"
    kind = field.annotation
    if kind is bool:
        return "true, false"
    if get_origin(kind) is Literal:
        return ", ".join(str(word) for word in get_args(kind) if word)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(word.value for word in kind if word.value)
    return ""


def _low(bounds: dict[type, Any]) -> str:
    if Ge in bounds:
        return f"{bounds[Ge].ge}"
    return f"above {bounds[Gt].gt}" if Gt in bounds else ""


def _high(bounds: dict[type, Any]) -> str:
    if Le in bounds:
        return f"{bounds[Le].le}"
    return f"{bounds[Lt].lt - 1}" if Lt in bounds else ""


def _table(title: str, rows: Iterator[SettingReference]) -> str:
    lines = [f"| {title} | meaning | values | default |", "| --- | --- | --- | --- |"]
    for row in rows:
        default = row.default if row.default.startswith(NONE) else f"`{row.default}`"
        values = ", ".join(f"`{word}`" for word in row.values.split(", ")) if row.values else ""
        values = values if not row.values[:1].isdigit() and not row.values.startswith("above") else row.values
        lines.append(f"| `{row.variable}` | {row.meaning} | {values} | {default} |")
    return "\n".join(lines) + "\n"
