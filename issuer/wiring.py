"""Settings in, Services out."""

import time
from pathlib import Path

from issuer.ca import AcmeAuthority
from issuer.ca.transport import Transport
from issuer.challenges import PROBE_SECONDS, Http01, HttpProbe, HttpSelfCheck
from issuer.config import Settings
from issuer.dns import DnsResolver
from issuer.domain import Record
from issuer.edge.handshake import TlsHandshake
from issuer.fleet.channels import channels
from issuer.keys import Vault
from issuer.ports import CaLimits, CaPolicy, Clock, Services, TaskQueue
from issuer.store import (
    RedisAlarms,
    RedisCounters,
    RedisFaults,
    RedisFeed,
    RedisFleetBoard,
    RedisLimits,
    RedisLocks,
    RedisOperators,
    RedisServers,
    RedisStore,
    connect,
)


class LeftToReconcile:
    """The `TaskQueue` port of processes that have no broker: `reconcile` finds the record within seconds."""

    def enqueue(self, record: Record) -> None:
        """See `ports.TaskQueue`."""

    def start_scan(self, name: str) -> None:
        """See `ports.TaskQueue`."""


def build_services(settings: Settings, clock: Clock = time.time, queue: TaskQueue | None = None) -> Services:
    """The real adapters. Nothing is connected before it is used, so a process may fork after this."""
    client, messages = connect(settings.redis_url.get_secret_value()), connect(settings.celery_broker_url)
    store = RedisStore(client, Path(settings.identity_file) if settings.identity_file else None)
    vault = Vault([key.get_secret_value() for key in settings.encryption_keys])
    seconds = settings.self_check_seconds
    return Services(
        settings=settings,
        store=store,
        servers=RedisServers({"records": client, "messages": messages}),
        queue=queue or LeftToReconcile(),
        feed=RedisFeed(client),
        limits=RedisLimits(client),
        locks=RedisLocks(client),
        operators=RedisOperators(client),
        counters=RedisCounters(client),
        board=RedisFleetBoard(client, messages),
        faults=RedisFaults(client),
        alarms=RedisAlarms(client),
        alarm_channels=channels(settings),
        cas=tuple(_authority(number, settings, store, vault, clock) for number in range(len(settings.authorities))),
        resolver=DnsResolver(
            settings.cname_targets,
            settings.dns_servers,
            seconds=settings.dns_timeout_seconds,
        ),
        solver=Http01(store, _self_check(settings, seconds)),
        probe=HttpProbe(store, _self_check(settings, min(seconds, PROBE_SECONDS))),
        handshake=TlsHandshake(),
        vault=vault,
        own_names=(*settings.own_names, *settings.cname_targets),
        edge_token=settings.edge_token.get_secret_value(),
        edges=settings.edge_addresses,
        clock=clock,
    )


def _self_check(settings: Settings, seconds: float) -> HttpSelfCheck:
    return HttpSelfCheck(settings.dns_servers, seconds=seconds, test_port=settings.self_check_test_port)


def _authority(number: int, settings: Settings, store: RedisStore, vault: Vault, clock: Clock) -> AcmeAuthority:
    ca = settings.authorities[number]
    transport = Transport(
        ca.directory,
        hosts=ca.hosts,
        ca_bundle=settings.acme_ca_bundle,
        timeout_seconds=settings.acme_timeout_seconds,
        directory_setting=f"ISSUER_CAS[{number}].directory" if settings.cas else "ISSUER_ACME_DIRECTORY",
    )
    policy = CaPolicy(
        weight=ca.weight,
        profile=ca.profile,
        required_profile=ca.required_profile,
        preferred_chain=ca.preferred_chain,
        eab_key_id=ca.eab_key_id,
        eab_hmac_key=ca.eab_hmac_key.get_secret_value(),
        limits=CaLimits(**dict(ca.allowed)),
    )
    return AcmeAuthority(
        ca.directory,
        store,
        policy=policy,
        vault=vault,
        clock=clock,
        transport=transport,
        contact=settings.acme_contact,
        terms_agreed=settings.acme_terms_agreed,
    )
