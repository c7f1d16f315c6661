"""Which tests handle dates, and so could have another result in another time zone: `pytest -m clock`.

They are found in the source, so that there is no list to maintain: a test, or something in its file that it uses,
converts times to dates or back, or uses something of our own modules that does.
"""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONVERSIONS = re.compile(
    r"\b(fromisoformat|isoformat|fromtimestamp|timestamp\(\)|strptime|strftime|parsedate_to_datetime|timegm|mktime"
    r"|localtime|tzset|not_valid_\w+_utc|TimeStamper)|\btimezone=|usefixtures\(\"zone\"\)"
)


@cache
def with_dates(path: Path) -> frozenset[str]:
    """The names that a file defines and that handle dates."""
    text = path.read_text()
    found: set[str] = set()
    names: dict[str, set[str]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= _imported_with_dates(node)
            continue
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        used |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}  # fixtures
        has_some = CONVERSIONS.search("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
        for name in [node.name] if hasattr(node, "name") else _assigned(node):
            names[name] = used
            found |= {name} if has_some else set()
    while more := {name for name, used in names.items() if name not in found and used & found}:
        found |= more
    return frozenset(found)


def _assigned(node: ast.stmt) -> list[str]:
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


def _imported_with_dates(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The names that an import binds to our modules that handle dates, or to something in them."""
    if isinstance(node, ast.Import):
        return {one.name.split(".")[0] for one in node.names if _converts(one.name)}
    if _converts(node.module or ""):
        return {one.asname or one.name for one in node.names}
    return {one.asname or one.name for one in node.names if _converts(f"{node.module}.{one.name}")}


@cache
def _converts(module: str) -> bool:
    """Whether one of our modules handles dates, or a package one from which it takes something."""
    package, *rest = module.split(".")
    place = ROOT.joinpath(package, *rest)
    files = (place.with_suffix(".py"), place / "__init__.py") if package in {"issuer", "web"} else ()
    texts = [file.read_text() for file in files if file.is_file()]
    if any(CONVERSIONS.search(text) for text in texts):
        return True
    taken = re.findall(rf"^from ({re.escape(module)}\.[\w.]+) import", "\n".join(texts), re.MULTILINE)
    return any(_converts(below) for below in taken)
