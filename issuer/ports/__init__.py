"""What the product needs from the outside, as Protocols, and `Services`, which holds the implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from issuer.keys import Vault
from issuer.ports.alarms import AlarmChannel, Alarms, EndingGroup, PendingAlarm
from issuer.ports.ca import (
    Authorization,
    CaAccount,
    CaAccounts,
    CaLimits,
    CaPolicy,
    CertificateAuthority,
    Challenge,
    KnownAccount,
    Order,
    Rate,
    RenewalInfo,
)
from issuer.ports.checks import Check, CheckResult
from issuer.ports.counters import Counters
from issuer.ports.faults import Diagnosis, Faults
from issuer.ports.fleet import BrokerView, Configuration, Consumer, FleetBoard, Heartbeats
from issuer.ports.identity import STORE_ID, StoreIdentity
from issuer.ports.limits import CaReturn, Cooldown, Limits, Pause
from issuer.ports.locks import Locks
from issuer.ports.operators import OperatorKey, Operators, OperatorSession
from issuer.ports.outside import (
    DnsFinding,
    Finding,
    Handshake,
    HolderProof,
    Probe,
    Resolver,
    SelfCheck,
    Solver,
    Verdict,
    creation,
)
from issuer.ports.queue import SENT_AT, TaskQueue
from issuer.ports.refusals import MAX_REFUSALS, REFUSAL_SECONDS, Refusal
from issuer.ports.servers import Durability, QueueState, ServerFacts, Servers
from issuer.ports.store import (
    NO_QUOTA,
    Change,
    Conflict,
    DamagedRecord,
    DomainCounts,
    DueCounts,
    Feed,
    OverQuota,
    PlannedRenewal,
    Quota,
    Reindexed,
    StatusCounts,
    Store,
)

if TYPE_CHECKING:  # the core reads settings, and loads nothing of what reads them from the environment
    from issuer.config import Settings

__all__ = [
    "MAX_REFUSALS",
    "NO_QUOTA",
    "REFUSAL_SECONDS",
    "SENT_AT",
    "STORE_ID",
    "AlarmChannel",
    "Alarms",
    "Authorization",
    "BrokerView",
    "CaAccount",
    "CaAccounts",
    "CaLimits",
    "CaPolicy",
    "CaReturn",
    "CertificateAuthority",
    "Challenge",
    "Change",
    "Check",
    "CheckResult",
    "Clock",
    "Configuration",
    "Conflict",
    "Consumer",
    "Cooldown",
    "Counters",
    "DamagedRecord",
    "Diagnosis",
    "DnsFinding",
    "DomainCounts",
    "DueCounts",
    "Durability",
    "EndingGroup",
    "Faults",
    "Feed",
    "Finding",
    "FleetBoard",
    "Handshake",
    "Heartbeats",
    "HolderProof",
    "KnownAccount",
    "Limits",
    "Locks",
    "OperatorKey",
    "OperatorSession",
    "Operators",
    "Order",
    "OverQuota",
    "Pause",
    "PendingAlarm",
    "PlannedRenewal",
    "Probe",
    "QueueState",
    "Quota",
    "Rate",
    "Refusal",
    "Reindexed",
    "RenewalInfo",
    "Resolver",
    "SelfCheck",
    "ServerFacts",
    "Servers",
    "Services",
    "Solver",
    "StatusCounts",
    "Store",
    "StoreIdentity",
    "TaskQueue",
    "Verdict",
    "creation",
]

Clock = Callable[[], float]
"""Now, in epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that actions, steps and edges work with. own_names: refused to customers, with all names below them.
    edge_token: what terminators send; empty: /edge is off. edges: terminators (`host:port`) that are asked what they
    serve."""

    settings: Settings
    store: Store
    servers: Servers
    queue: TaskQueue
    feed: Feed
    limits: Limits
    locks: Locks
    operators: Operators
    counters: Counters
    board: FleetBoard
    faults: Faults
    alarms: Alarms
    alarm_channels: tuple[AlarmChannel, ...]
    cas: tuple[CertificateAuthority, ...]
    resolver: Resolver
    solver: Solver
    probe: Probe
    handshake: Handshake
    vault: Vault
    own_names: tuple[str, ...]
    edge_token: str = field(repr=False)
    edges: tuple[str, ...]
    clock: Clock

    def ca_at(self, directory_url: str | None) -> CertificateAuthority | None:
        """The configured CA with a directory URL, or None."""
        return next((ca for ca in self.cas if ca.directory_url == directory_url), None)
