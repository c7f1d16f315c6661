"""How control of a name is proved to a CA: one solver for each challenge type. HTTP-01 is the first."""

from issuer.challenges.http01 import Http01
from issuer.challenges.self_check import HttpSelfCheck

__all__ = ["Http01", "HttpSelfCheck"]
