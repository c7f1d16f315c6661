"""Certificates for domains that a platform does not own, from any ACME CA, over HTTP-01 through a CNAME.

Read `pipeline` (the steps by name, in order), then `steps` (what each does), then `domain` (the records, their legal
moves, and the status). The record in the store is the truth: a message only says «look at this issuance now».
`actions` is what a caller may ask for. `tasks` leases a record, runs its step and saves it; `outcomes` decides what a
success or a failure means, with `authorities` (which CA is asked, its health, its limits) and `backoff` (when to try
again); `renewal` says when to renew, `schedule` scans for what is due. `events` has what is told of a domain,
`presenters` how records are shown. `edge` is all that TLS terminators get. Through `ports` these reach `store` (Redis),
`ca` (ACME), `dns`, `challenges` and `keys`; `wiring` builds the real ones from `config`.
"""
