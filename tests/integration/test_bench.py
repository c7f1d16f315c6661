"""The bench runs, with few domains and at a pace that ends it soon; `make bench` measures it."""

import subprocess
import sys

from tests.bench.page import VIEWS
from tests.checkout import CHECKOUT


def report(bench: str, *options: str) -> str:
    """What a bench prints."""
    command = [sys.executable, "-m", f"tests.bench.{bench}", *options]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_small_mass_revocation_is_over_in_time() -> None:
    printed = report("mass_revocation", "--domains", "50", "--pace", "100")
    assert "50 domains renewed" in printed
    assert "0 of them twice, and\n0 after their certificate's end" in printed


def test_a_page_costs_the_same_at_the_end_of_a_list() -> None:
    printed = report("listings", "--domains", "1000")
    rows = [line.split() for line in printed.splitlines() if line.split()[1:2] in (["first"], ["last"])]
    assert [row[0] for row in rows] == [fact for fact in ("account", "code", "ca", "expiry") for _ in range(2)]
    assert {int(row[2]) for row in rows} == {100}
    assert max(int(row[3]) for row in rows) <= 103
    assert max(int(row[4]) for row in rows) <= 101


def test_a_view_of_the_page_asks_redis_for_no_more_with_more_domains() -> None:
    rows = [line.split() for line in report("page", "--few", "200", "--domains", "600", "--untimed").splitlines()]
    assert [row[0] for row in rows[2:]] == list(VIEWS)
    assert all(row[4] == row[5] for row in rows[2:])
