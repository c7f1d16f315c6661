"""The table of planted faults, and the texts of docs/api.md, which are read from what the product said."""

from tests.checkout import CHECKOUT
from tests.planted.table import FAULTS
from tests.planted.texts import texts_of

KNOWN = 41


def test_the_table_has_each_fault_once_and_the_page_has_the_text_of_each() -> None:
    assert len({fault.id for fault in FAULTS}) == len({fault.what for fault in FAULTS}) == len(FAULTS) == KNOWN
    texts = texts_of((CHECKOUT / "docs" / "api.md").read_text())
    assert list(texts) == [fault.what for fault in FAULTS]
    assert [what for what, text in texts.items() if text == "nothing yet"] == []
    report = (CHECKOUT / "docs" / "faults.md").read_text()
    assert all(f"\n| {fault.what} |" in report for fault in FAULTS)
