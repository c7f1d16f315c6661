"""Stand-ins for the outside, for tests that open no socket. The same tests run on the real parts in `contracts`."""

import datetime as dt
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import fakeredis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from issuer.celery_app import create_celery
from issuer.challenges import Http01, HttpProbe
from issuer.config import load_settings
from issuer.domain import Account, Domain, Plan, Reason, Record, new_issuance
from issuer.keys import Vault, new_encryption_key
from issuer.pipeline import CeleryQueue
from issuer.ports import (
    Authorization,
    CaPolicy,
    Challenge,
    DnsFinding,
    Finding,
    KnownAccount,
    Order,
    RenewalInfo,
    Services,
    Verdict,
)
from issuer.problem import Actor, Problem, ProblemType
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
)
from tests.databases import empty_store
from tests.writes import open_issuance

NOW = 1_790_000_000.0
TARGET = "edge.platform.example"
NAME = "track.customer.example"
OUR_ADDRESS = "192.0.2.1"
OPERATOR = "the operator must repair it; the owner of the domain need do nothing"
YEARS = dt.timedelta(days=3650)
EDGE_TOKEN = "the-edges-own-token-in-tests"
ACCOUNT = Account("platform", Plan.HTTPS, "0" * 64, NOW)


@dataclass
class FakeClock:
    """A clock that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


class FakeResolver:
    """Gives the verdict that a test has set for a name; yes for all others. elsewhere: names with foreign addresses
    alone. advice: what is to be done about a name, if not create its record. faults: what is wrong with our own DNS for
    a name ("" for every name). held_addresses: those of a name; one of ours for all others. proofs: the token that a
    name shows; none for all others. caa_owners: the names that have the CAA records of others. caa_unanswered: names
    whose CAA records cannot be read. bogus, bogus_caa: names in zones whose DNSSEC is broken, and those whose CAA
    records alone fail by it. targets: whether one of our targets has an address."""

    def __init__(self) -> None:
        self.targets: dict[str, Verdict] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.elsewhere: set[str] = set()
        self.advice: dict[str, str] = {}
        self.faults: dict[str, ProblemType] = {}
        self.held_addresses: dict[str, tuple[str, ...]] = {}
        self.caa_owners: dict[str, str] = {}
        self.caa_unanswered: set[str] = set()
        self.caa_verdicts: dict[str, Verdict] = {}
        self.asked: list[str] = []
        self.proofs: dict[str, tuple[str, Verdict]] = {}
        self.bogus: set[str] = set()
        self.bogus_caa: set[str] = set()

    def points_here(self, name: str, below: str = "") -> DnsFinding:
        self.asked.append(name)
        verdict = self._proved(name, below) if below else self.verdicts.get(name, Verdict.YES)
        is_elsewhere = name in self.elsewhere
        verdict = Verdict.NO if is_elsewhere else verdict
        record = f"{name} CNAME {f'{below}.' if below else ''}{TARGET}"
        if fault := self.faults.get(name) or self.faults.get(""):
            summary = f"our own DNS fails for {name}"
            return DnsFinding(Verdict.UNKNOWN, summary, "", OPERATOR, must_act=Actor.PLATFORM, fault=fault)
        if name in self.bogus:
            return DnsFinding(Verdict.UNKNOWN, f"{name} is bogus", record, "mend DNSSEC", is_bogus=True)
        return DnsFinding(verdict, f"{name} as DNS has it", record, self.advice.get(name, ""), is_elsewhere)

    def has_proof(self, name: str, token: str) -> DnsFinding:
        return DnsFinding(self._proved(name, token), f"_issuer.{name} as DNS has it", f"_issuer.{name} TXT {token}")

    def _proved(self, name: str, token: str) -> Verdict:
        shown, verdict = self.proofs.get(name, ("", Verdict.YES))
        return verdict if verdict is not Verdict.YES or shown == token else Verdict.NO

    def has_address(self, target: str) -> Finding:
        return Finding(self.targets.get(target, Verdict.YES), f"{target} as DNS has it")

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        if name in self.bogus_caa:
            return Finding(Verdict.UNKNOWN, f"{name} CAA is bogus", "mend DNSSEC", is_bogus=True)
        if name in self.caa_unanswered:
            return Finding(Verdict.UNKNOWN, f"no clear answer for {name} CAA", "ask who runs it", is_unanswered=True)
        verdict, owner = self.caa_verdicts.get(name, Verdict.YES), self.caa_owners.get(name, name)
        return Finding(verdict, f"{name} as its CAA records have it", owner=owner)

    def addresses(self, name: str) -> tuple[str, ...]:
        return self.held_addresses.get(name, (OUR_ADDRESS,))

    def is_answering(self) -> bool:
        return ProblemType.RESOLVER_UNAVAILABLE not in self.faults.values()


class FakeSelfCheck:
    """Gives the verdict that a test has set for a name; yes for all others. redirected: names that are redirected to
    other ones. by_proxy: those that a proxy answers by its own account. at: the verdicts of addresses that are asked on
    their own. before: called with what is fetched; may raise."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.redirected: set[str] = set()
        self.by_proxy: set[str] = set()
        self.at: dict[str, Verdict] = {}
        self.asked: list[str] = []
        self.before: Callable[[str, str, str], None] = lambda *_: None

    def fetch(
        self, name: str, token: str, key_authorization: str, *, within_name: bool = False, address: str = ""
    ) -> Finding:
        self.before(name, token, key_authorization)
        self.asked.append(name)
        verdict = self.at.get(address) or self.verdicts.get(name, Verdict.YES)
        if within_name and name in self.redirected:
            verdict = Verdict.NO
        return Finding(verdict, f"http://{name} as it shows from outside", is_by_proxy=name in self.by_proxy)


class FakeHandshake:
    """The serial number that each edge serves for every name, as a test has set it; other edges do not answer. before:
    called with a name before its answer; may raise."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda _: None
        self.serials: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []

    def serves(self, edge: str, name: str, serial: str) -> Finding:
        self.before(name)
        self.asked.append((edge, name))
        if edge not in self.serials:
            return Finding(Verdict.UNKNOWN, f"{edge} does not answer")
        is_served = self.serials[edge] == serial
        return Finding(Verdict.YES if is_served else Verdict.NO, f"{edge} serves serial number {self.serials[edge]}")


@dataclass
class _FakeOrder:
    name: str
    token: str
    is_proved: bool = False
    answered: bool = False
    looks_left: int = 0
    problem: Problem | None = None
    certificate_url: str | None = None
    csr: str | None = None


class FakeCa:
    """A CA in memory that validates against `published` and signs for real.

    before, after: called with a method's name around its work; may raise. looks_until_ready: how often an answered
    authorization or a finalized order is looked at in vain first. forge: which public key and names to sign.
    """

    def __init__(
        self, clock: Callable[[], float], published: Callable[[str], str | None], host: str = "ca.example"
    ) -> None:
        self.directory_url = f"https://{host}/directory"
        self.policy = CaPolicy()
        self.identities: tuple[str, ...] = (host,)
        self.profiles: list[str] = []
        self.required_profiles: list[str] = []
        self.preferred: list[str] = []
        self.clock = clock
        self.published = published
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.calls: list[str] = []
        self.looks_until_ready = 0
        self.not_before = dt.timedelta(hours=-1)
        self.lifetime = dt.timedelta(days=90)
        self.forge = as_asked
        self.authorizations_are_valid = False
        self.renewal_infos: Callable[[str], RenewalInfo] | None = None
        self.replaced: list[str | None] = []
        self.orders: dict[str, _FakeOrder] = {}
        self.certificates: dict[str, str] = {}
        self.revoked: dict[str, int] = {}
        self._key, self._root_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._sign(self._root_key.public_key(), [], subject="Fake Root")
        self._intermediate = self._sign(self._key.public_key(), [], subject="Fake CA")

    def is_reachable(self) -> bool:
        try:
            self.before("is_reachable")
        except Problem:
            return False
        return True

    def require_reachable(self) -> None:
        self.before("require_reachable")

    def require_account(self) -> None:
        self.before("require_account")

    def known_account(self) -> KnownAccount:
        return KnownAccount(self.account_url(), "thumbprint", NOW, is_rolling_over=False)

    def caa_identities(self) -> tuple[str, ...]:
        return self.identities

    def account_url(self) -> str:
        return self.directory_url.replace("directory", "account/1")

    def has_renewal_info(self) -> bool:
        return self.renewal_infos is not None

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        return self._call("renewal_info", self.renewal_infos, certificate_id)

    def new_order(self, name: str, replaces: str | None = None, profile: str = "", required_profile: str = "") -> Order:
        self.replaced.append(replaces)
        self.profiles.append(profile)
        self.required_profiles.append(required_profile)
        return self._call("new_order", self._new_order, name)

    def order(self, url: str) -> Order:
        return self._call("order", self._look, url)

    def authorization(self, url: str, name: str) -> Authorization:
        return self._call("authorization", self._authorization, url.removesuffix("/authorization"))

    def answer(self, challenge: Challenge) -> None:
        self._call("answer", self._answer, challenge)

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        return self._call("finalize", self._finalize, order_url, csr)

    def chain(self, url: str, preferred: str = "") -> str:
        self.preferred.append(preferred)
        return self._call("chain", self.certificates.__getitem__, url)

    def revoke(self, chain: str, reason: int) -> None:
        self._call("revoke", self._revoke, chain, reason)

    def _revoke(self, chain: str, reason: int) -> None:
        if not any(issued.startswith(chain) for issued in self.certificates.values()):
            raise Problem(ProblemType.CA_MISUNDERSTOOD, "the certificate is not one of its own")
        self.revoked.setdefault(chain, reason)

    def _call(self, method, work, *args):
        self.calls.append(method)
        self.before(method)
        result = work(*args)
        self.after(method)
        return result

    def _new_order(self, name: str) -> Order:
        url = self.directory_url.replace("directory", f"order/{len(self.orders) + 1}")
        is_proved = self.authorizations_are_valid
        self.orders[url] = _FakeOrder(name, secrets.token_urlsafe(16), is_proved=is_proved)
        return self._look(url)

    def _look(self, url: str) -> Order:
        order = self.orders.get(url)
        known = Order(url, f"{url}/finalize", (f"{url}/authorization",))
        if order is None:
            return replace(known, problem=Problem(ProblemType.ORDER_LOST))
        if order.csr and order.certificate_url is None:
            if order.looks_left > 0:
                order.looks_left -= 1
                return known
            order.certificate_url = f"{url}/certificate"
            self.certificates[order.certificate_url] = self._issue(order.csr)
        return replace(
            known,
            needs_csr=order.is_proved and order.csr is None,
            certificate_url=order.certificate_url,
            problem=order.problem,
        )

    def _authorization(self, url: str) -> Authorization:
        order = self.orders[url]
        if order.problem:
            return Authorization(problem=order.problem)
        if order.answered and not order.is_proved:
            if order.looks_left > 0:
                order.looks_left -= 1
                return Authorization()
            if self.published(order.token) != f"{order.token}.thumbprint":
                order.problem = Problem(ProblemType.VALIDATION_FAILED, "wrong answer")
                return Authorization(problem=order.problem)
            order.is_proved = True
        if order.is_proved:
            return Authorization(is_valid=True)
        return Authorization(challenge=Challenge(f"{url}/challenge", order.token, f"{order.token}.thumbprint"))

    def _answer(self, challenge: Challenge) -> None:
        order = self.orders[challenge.url.removesuffix("/challenge")]
        order.answered, order.looks_left = True, self.looks_until_ready

    def _finalize(self, url: str, csr: str) -> Order:
        order = self.orders[url]
        if order.is_proved and order.csr is None:
            order.csr, order.looks_left = csr, self.looks_until_ready
            return replace(self._look(url), certificate_url=None) if self.looks_until_ready else self._look(url)
        return replace(self.order(url), was_finalized=True)

    def _issue(self, csr: str) -> str:
        public_key, names = self.forge(x509.load_pem_x509_csr(csr.encode()))
        leaf = self._sign(public_key, names)
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in (leaf, self._intermediate))

    def _sign(self, public_key, names, *, subject: str = "") -> x509.Certificate:
        """A leaf, or with a subject, the certificate of a CA."""
        now, is_ca = dt.datetime.fromtimestamp(self.clock(), dt.UTC), bool(subject)
        by = "Fake Root" if is_ca else "Fake CA"
        own, issuer = ([x509.NameAttribute(NameOID.COMMON_NAME, one)] if one else [] for one in (subject, by))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(own))
            .issuer_name(x509.Name(issuer))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self.not_before)
            .not_valid_after(now + (YEARS if is_ca else self.lifetime))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if not is_ca:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(authority, critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=True)  # as the subject is empty: RFC 5280 §4.2.1.6
        return builder.sign(self._root_key if is_ca else self._key, hashes.SHA256())


def as_asked(csr: x509.CertificateSigningRequest):
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return csr.public_key(), names.get_values_for_type(x509.DNSName)


def fake_store() -> RedisStore:
    """The real store over a Redis of this process alone."""
    return RedisStore(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True))


def queue_at(broker_url: str = "memory://") -> CeleryQueue:
    """The real queue over a broker of this process, or a real one. Nothing here runs its tasks."""
    settings = load_settings(encryption_keys=new_encryption_key(), cname_targets=TARGET, broker_url="redis://unused")
    celery = create_celery(settings, lambda: None)
    celery.conf.broker_url = broker_url
    return CeleryQueue(celery)


def fake_services(
    store: RedisStore | None = None,
    *,
    hosts: Sequence[str] = ("ca.example",),
    **settings: object,
) -> Services:
    """Services over fakes and a real Redis; `services.clock`, `.resolver` and those in `.cas` are the fakes themselves.
    settings: those that differ from the defaults; names below `.example` are allowed, without a limit on new names."""
    clock, store = FakeClock(), store or empty_store()
    needed = {"encryption_keys": new_encryption_key(), "cname_targets": TARGET}
    liberal = {"allow_reserved_names": True, "new_names_per_registered_domain": 0}
    return Services(
        settings=load_settings(**needed | liberal | settings),
        store=store,
        servers=RedisServers({"records": store._redis}),
        queue=queue_at(),
        feed=RedisFeed(store._redis),
        counters=RedisCounters(store._redis),
        board=RedisFleetBoard(store._redis, store._redis),
        faults=RedisFaults(store._redis),
        alarms=RedisAlarms(store._redis),
        alarm_channels=(),
        limits=RedisLimits(store._redis),
        locks=RedisLocks(store._redis),
        operators=RedisOperators(store._redis),
        cas=tuple(FakeCa(clock, store.key_authorization, host) for host in hosts),
        resolver=FakeResolver(),
        solver=Http01(store, FakeSelfCheck()),
        probe=HttpProbe(store, FakeSelfCheck()),
        handshake=FakeHandshake(),
        vault=Vault([new_encryption_key()]),
        own_names=(TARGET,),
        edge_token=EDGE_TOKEN,
        edges=(),
        clock=clock,
    )


def with_settings(services: Services, **settings: object) -> Services:
    """The same services with other settings, whose values are not checked."""
    return replace(services, settings=services.settings.model_copy(update=settings))


def opened(services: Services, name: str = NAME, account: str = ACCOUNT.id) -> Record:
    """A record with a first issuance, as a POST leaves it."""
    now = services.clock()
    issuance = new_issuance(name, Reason.FIRST, now)
    return open_issuance(services.store, Domain(name, account, now), issuance, version=0, requeue_at=now + 60)


def below(registered: str, count: int) -> list[str]:
    """Some names below a registered domain."""
    return [f"{number}.{registered}" for number in range(count)]


def all_opened(services: Services, *names: str) -> list[str]:
    """The same names, each with a first issuance."""
    return [opened(services, name).domain.name for name in names]
