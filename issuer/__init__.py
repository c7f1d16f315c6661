"""Certificates for domains that a platform does not own, from any ACME CA, over HTTP-01 through a CNAME.

Read `pipeline` (the chain, one expression), then `steps` (what each step does), then `domain` (the records and
their legal moves). Around them: `checks` says whether we may issue for a name, `choice` which CA is asked, `renewal`
when to do it again; `tasks` is the Celery skin over the steps, `schedule` the beat table with its scans; `ports` names
what the outside must be able to do, and `store` (Redis), `ca` (ACME), `resolver` (DNS), `selfcheck` (a challenge as it
shows from outside) and `keys` (keys, chains, encryption at rest) do it; `wiring` builds them from `config`.
`edge` is what TLS terminators get, `sync` keeps their files, `confirm` asks what they serve, `hsts` is what browsers
are told; `holder` is whose a name is, and `withdrawal` what becomes of one that is given up. `metrics` names what is
counted.
The record in the store is the truth: a message only says «look at this issuance now».
"""
