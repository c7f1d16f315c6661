"""Faults planted on running fleets, and what the product must say of each.

`table` has the 41 faults in one list: how each is planted and lifted, and what must be said. `fleet` runs the
Procfile's processes over a Redis of their own, and plays what is around them (`outside`). `told` looks at the status,
the timeline, the command line, the doctor, /readyz, /metrics and the logs, and judges. `python -m tests.planted` (make
faults) runs all of them and writes docs/faults.md; tests/acceptance/test_faults.py runs some on one fleet.
"""
