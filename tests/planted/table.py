"""All faults in one list, in the order in which the report shows them."""

from tests.planted import ca_rows, fleet_rows, owner_rows, setting_rows

FAULTS = (*fleet_rows.FAULTS, *setting_rows.FAULTS, *ca_rows.FAULTS, *owner_rows.FAULTS)
