"""What the running processes show of themselves, and who is told when they do not.

`queues` says which process reads which queue. `heartbeats` reads what all processes have written: `seen`. `checks`
says what of that is as it should be: the fleet's part of `issuer doctor`, /readyz, alarms, metrics and the page.
"""
