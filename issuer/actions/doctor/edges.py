"""The edges of ISSUER_EDGE_ADDRESSES: whether each can be reached."""

from issuer.ports import Check, CheckResult, Services, Verdict

HINT = "start the edge, open its port for this machine, or correct ISSUER_EDGE_ADDRESSES; other edges go on serving"


def look(services: Services, edge: str) -> list[Check]:
    """Whether an edge answers a TLS handshake, with whatever certificate, or by refusing the name."""
    finding = services.handshake.serves(edge, services.settings.cname_targets[0], "")
    if finding.verdict is not Verdict.UNKNOWN:
        return [Check("edge", CheckResult.OK, f"{edge} answers", edge)]
    return [Check("edge", CheckResult.FAILED, f"the edge {finding.summary}", edge, HINT)]
