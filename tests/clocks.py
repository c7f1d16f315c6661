"""Which tests have to do with dates, and so could come out otherwise in another time zone: `pytest -m clock`.

Found by what is written, so that there is no list to keep: a test's file turns times into dates or back, or imports a
module of ours that does.
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
def has_dates(path: Path) -> bool:
    """Whether what is tested there has to do with them."""
    return _converts(path) or any(_converts(ours) for ours in _imported(path))


@cache
def _converts(path: Path) -> bool:
    return bool(CONVERSIONS.search(path.read_text()))


def _imported(path: Path) -> list[Path]:
    """Our own modules that a file names in its imports, and of a package the one that is meant."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
    places = [ROOT.joinpath(*name.split(".")) for name in names if name.split(".")[0] in {"issuer", "web"}]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file for file in files if file.is_file()]
