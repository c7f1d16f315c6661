"""The operators' page, at `/`: what is wrong, who must act, and when it goes on. It is rendered here, and works without
JavaScript; with it, the parts that change are fetched again every few seconds.

`blueprint` decides who may look; each other module is one view. All it knows comes from `issuer.actions`.
"""

from web.operators import domain, domains, fleet, overview, session
from web.operators.blueprint import operators

__all__ = ["domain", "domains", "fleet", "operators", "overview", "session"]
