"""The result of a run as a table: on the terminal, and as docs/faults.md."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tests.planted.faults import Fault
from tests.planted.told import COLUMNS, Told

MAX_SHOWN = 300
NOT_ASKED = "-"
HEAD = f"""# Planted faults

`make faults` plants 41 faults, one by one, on running fleets: the processes of the Procfile over real Redis servers,
with a DNS, port 80 and a CA that are played. It looks at every place where a fault must be told, lifts it, and waits
for the name to go on. This is its last report.

| column | what must be right, within a minute |
| --- | --- |
| `status` | the status word, or the answer to the POST and its trace (`last_refusal`), or the line of a refused start |
| `code`, `actor`, `next` | `code`, `must_act`, and `next_attempt_at`, which is never in the past |
| `words` | cause, detail and hint: what must be in them, what must not, and no word of our own |
| `timeline`, `show` | the events of the name; `issuer show NAME --json` |
| `doctor`, `readyz` | a failed check of `issuer doctor --json` with exit code 1; `degraded` of `/readyz`, or 503 |
| `metrics`, `log` | a line of `/metrics`; a line of level ERROR |
| `end` | after the fault's end the name becomes `active`: by itself or, where that is the rule, on request |

✓ right · ✗ not right · {NOT_ASKED} does not apply. What nobody works on is told once it is overdue by a minute.
"""


def mark(told: Told, column: str) -> str:
    if column not in told.columns:
        return NOT_ASKED
    return "✓" if told.columns[column] is None else "✗"


def line(fault: Fault, told: Told) -> str:
    """One line for the terminal."""
    marks = " ".join(f"{mark(told, column)} {column}" for column in COLUMNS if column in told.columns)
    end = "" if told.end_seconds is None else f", goes on after {told.end_seconds:.0f} s"
    return f"{'✗' if told.wrong else '✓'} {fault.id:<24} {marks}  (told after {told.told_seconds:.0f} s{end})"


def report(faults: Sequence[Fault], found: Mapping[str, Told], *, seconds: float) -> str:
    """docs/faults.md."""
    right = sum(fault.id in found and not found[fault.id].wrong for fault in faults)
    now = datetime.now(UTC)
    lines = [
        HEAD,
        f"Run of {now:%Y-%m-%d %H:%M} UTC, in {seconds / 60:.0f} minutes: {right} of {len(faults)} right.",
        "",
    ]
    lines += [f"| fault | {' | '.join(COLUMNS)} | told | went on |", f"| --- |{' --- |' * (len(COLUMNS) + 2)}"]
    lines += [_row(fault, found[fault.id]) for fault in faults if fault.id in found]
    wrong = [fault for fault in faults if fault.id in found and found[fault.id].wrong]
    if wrong:
        lines += ["", "## What is not right", ""]
        for fault in wrong:
            lines += [f"- `{fault.id}`: " + "; ".join(_shown(*one) for one in found[fault.id].wrong.items())]
    return "\n".join(lines) + "\n"


def _row(fault: Fault, told: Told) -> str:
    marks = " | ".join(mark(told, column) for column in COLUMNS)
    end = NOT_ASKED if told.end_seconds is None else f"{told.end_seconds:.0f} s"
    return f"| {fault.what} | {marks} | {told.told_seconds:.0f} s | {end} |"


def _shown(column: str, text: str) -> str:
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"*{column}* " + (plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}…")
