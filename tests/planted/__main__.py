"""Plants all faults, or those that are named, and tells what the product says of them."""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from issuer.logs import configure_logs
from tests.checkout import CHECKOUT
from tests.planted.faults import Fault
from tests.planted.report import line, report
from tests.planted.runs import end_at_once, run_all
from tests.planted.table import FAULTS
from tests.planted.texts import section, with_section
from tests.planted.told import Told

REPORT, API_PAGE = CHECKOUT / "docs" / "faults.md", CHECKOUT / "docs" / "api.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument(
        "faults", nargs="*", metavar="FAULT", help="ids; none: all, and the pages in docs are written anew"
    )
    parser.add_argument("--verbose", action="store_true", help="show what is wrong, and what was read")
    parser.add_argument("--keep", type=Path, help="a folder for logs and data, which stays")
    wishes = parser.parse_args()
    chosen = [fault for fault in FAULTS if not wishes.faults or fault.id in wishes.faults]
    if unknown := set(wishes.faults) - {fault.id for fault in chosen}:
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    done = 0

    def say(fault: Fault, told: Told) -> None:
        nonlocal done
        done += 1
        print(f"{done:>2}/{len(chosen)} {line(fault, told)}", flush=True)
        if wishes.verbose:
            for column, text in told.wrong.items():
                print(f"        {column}: {text}")
            print(f"        {json.dumps({**told.body, 'certificate': None}, ensure_ascii=False)}", flush=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    configure_logs("console", "CRITICAL")  # some names get their certificates in this process
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wishes.keep or Path(temporary)
        found = run_all(chosen, folder, say)
    seconds = time.monotonic() - began
    if not wishes.faults:
        REPORT.write_text(report(FAULTS, found, seconds=seconds))
        texts = section(FAULTS, {name: told.text for name, told in found.items()})
        API_PAGE.write_text(with_section(API_PAGE.read_text(), texts))
    wrong = [fault.id for fault in chosen if found[fault.id].wrong]
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} right, in {seconds:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
