"""The bench runs, with few domains and at a pace that ends it soon; `make bench` measures it."""

import subprocess
import sys

from tests.checkout import CHECKOUT


def test_a_small_mass_revocation_is_over_in_time() -> None:
    command = [sys.executable, "-m", "tests.bench.mass_revocation", "--domains", "100", "--pace", "100"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=100)
    assert "100 domains renewed" in ended.stdout
    assert "0 of them twice, and\n0 after their certificate's end" in ended.stdout
