"""Where the repository is, for tests of what is not in the package."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
