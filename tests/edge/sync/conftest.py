"""A directory of the sync, and records on a real Redis."""

from collections.abc import Callable
from pathlib import Path

import pytest

from issuer.ports import Services
from tests.edge.records import Records
from tests.edge.runs import Run


@pytest.fixture
def records(redis_url: str) -> Records:
    return Records(redis_url)


@pytest.fixture
def services(records: Records) -> Services:
    return records.services


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge"


@pytest.fixture
def run(services: Services, path: Path) -> Callable[..., Run]:
    """Run it once; all must have been done."""

    def start(**options) -> Run:
        found = Run(services, path, **options)
        assert found.is_done, found.output
        return found

    return start
