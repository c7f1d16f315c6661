"""How control of a name is proved to a CA: one solver for each challenge type. HTTP-01 is the first. Over the same path
`HttpProbe` finds out whether requests to a name arrive here."""

from issuer.challenges.http01 import Http01
from issuer.challenges.probe import PROBE_SECONDS, HttpProbe
from issuer.challenges.self_check import HttpSelfCheck

__all__ = ["PROBE_SECONDS", "Http01", "HttpProbe", "HttpSelfCheck"]
