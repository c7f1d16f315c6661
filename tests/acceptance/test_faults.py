"""Some of the planted faults, on one fleet of the Procfile's processes. `make faults` runs all of them."""

from collections.abc import Iterator

import pytest

from tests.checkout import CHECKOUT
from tests.planted.faults import GoesOn
from tests.planted.fleet import Fleet
from tests.planted.runs import planted, running
from tests.planted.table import FAULTS
from tests.planted.texts import texts_of

SOME = (
    "no-cname",
    "plan",
    "servfail",
    "caa",
    "rejected-name",
    "foreign-key",
    "target-without-address",
    "caa-at-target",
)
OF_A_MINUTE = ("readyz", "log")
"""Columns that wait for the next time that the fleet looks at itself."""
CHOSEN = [fault for fault in FAULTS if fault.id in SOME]


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running(tmp_path_factory.mktemp("planted"), CHOSEN[0]) as fleet:
        fleet.is_alone = True
        yield fleet


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.id)
def test_a_planted_fault_is_told(on: Fleet, fault) -> None:
    slow = OF_A_MINUTE if fault.goes_on is GoesOn.ON_REQUEST else {*OF_A_MINUTE, "end"}
    told = planted(on, fault, without=slow)
    assert told.wrong == {}, told.body
    assert texts_of((CHECKOUT / "docs" / "api.md").read_text())[fault.what] == told.text
