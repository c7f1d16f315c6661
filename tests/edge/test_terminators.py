"""nginx and HAProxy with the delivered configurations: what they serve for which name, and how soon."""

import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import Self

import pytest
from cryptography import x509

from issuer.config import Settings
from issuer.domain import Hsts
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Sandbox
from tests.edge.records import Records
from tests.edge.runs import Run
from tests.edge.terminators import Terminator, ask, until

SOON = 2.0
CHALLENGE = "/.well-known/acme-challenge/"


def install(terminator: Terminator, records: Records, name: str, **changes) -> str:
    """Install a certificate, and wait until it is served; its serial number."""
    serial = records.install(name, **changes)
    until(lambda: terminator.serial(name) == serial, SOON)
    return serial


def test_h02_a_new_and_a_renewed_certificate_are_served_within_two_seconds(
    terminator: Terminator, records: Records
) -> None:
    name = f"new-to-{terminator.kind}.customer.example"
    assert terminator.serial(name) is None
    serials = [install(terminator, records, name) for _ in range(3)]
    assert len(set(serials)) == 3
    with terminator.connect(name) as connection:
        certificate = connection.getpeercert()
    assert certificate["subjectAltName"] == (("DNS", name),)


def is_gone(terminator: Terminator, name: str) -> bool:
    """Whether a name is no longer served. The handshake of the very moment in which its file goes may fail."""
    try:
        return terminator.serial(name) is None
    except ssl.SSLError as error:
        assert error.reason == "TLSV1_ALERT_INTERNAL_ERROR"
        return False


def test_a_withdrawn_name_is_no_longer_served_after_two_seconds(terminator: Terminator, records: Records) -> None:
    name = "leaves.customer.example"
    install(terminator, records, name)
    with terminator.connect(name) as kept:
        assert ask(kept, name, "/").status == 200
        records.withdraw(name)
        until(lambda: is_gone(terminator, name), SOON)
        until(lambda: terminator.http(name).status == 200, SOON)  # no longer redirected
        assert ask(kept, name, "/").status == 421
    assert not (terminator.folder / f"{name}.pem").is_symlink()
    install(terminator, records, name)


@pytest.mark.parametrize("asked", ["TRACK.Customer.Example", "track.customer.EXAMPLE", "Track.Customer.Example:443"])
def test_b05_names_in_any_case_are_one(terminator: Terminator, records: Records, asked: str) -> None:
    name = "track.customer.example"
    serial = install(terminator, records, name)
    sni = asked.removesuffix(":443")
    assert terminator.serial(sni) == serial
    answer = terminator.https(sni, asked)
    assert (answer.status, answer.body) == (200, f"https {host_of(terminator, asked)} {LOOPBACK}".encode())
    assert terminator.https(name, f"{sni}.").status == 200
    redirect = terminator.http(f"{sni}.", "/a?b=c")
    assert (redirect.status, redirect.headers["Location"]) == (308, f"https://{name}/a?b=c")


SPELLINGS = ["{0}.", "{1}.", "{1}", "{2}", "{2}.", "tRaCk.CUSTOMER-With-A-Long-Name.ExAmPlE", "{0}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_n30_the_name_of_a_handshake_in_any_spelling_gets_its_certificate(
    terminator: Terminator, records: Records, services: Services, spelling: str
) -> None:
    name = "track.customer-with-a-long-name.example"
    serial = install(terminator, records, name)
    sni = spelling.format(name, name.upper(), name.title()).encode()
    services.store.put_token("spelled", "spelled.thumbprint", seconds=60)
    for host, path, expected in (
        (name, "/", (200, f"https {name} {LOOPBACK}".encode())),
        (sni.decode(), "/", (200, f"https {host_of(terminator, sni.decode())} {LOOPBACK}".encode())),
        (sni.decode(), f"{CHALLENGE}spelled", (200, b"spelled.thumbprint")),
        ("b.customer.example", "/", (421, None)),
        (f"{name}.example", "/", (421, None)),
    ):
        with terminator.connect(sni, terminator.context(is_checked=False)) as connection:
            served = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
            answer = ask(connection, host, path)
        assert f"{served.serial_number:x}" == serial
        assert (answer.status, answer.body if expected[1] else None) == expected


def test_n30_a_name_of_capitals_alone_is_found_up_to_64_of_them(terminator: Terminator, records: Records) -> None:
    name = f"{'a' * 33}.{'z' * 24}.{terminator.kind[:7]}"
    serial = install(terminator, records, name)
    assert sum(letter.isupper() for letter in name.upper()) in {62, 64}
    assert terminator.serial(name.upper()) == serial


def host_of(terminator: Terminator, asked: str) -> str:
    """The Host that the platform gets: nginx sends only the name, HAProxy the header unchanged."""
    return asked.removesuffix(":443").removesuffix(".").lower() if terminator.kind == "nginx" else asked


NO_NAMES = [None, LOOPBACK, "com", b"x/../tenant.customer.example", b"a..b.example", b"/etc/passwd", b"versions/x"]
NO_NAMES += [b"tenant.customer.example/", b"tenant.customer.example\t", b"x/../neutral", b"neutral"]
FOREIGN = ["other.example", "x.tenant.customer.example", "tenant.customer.example.pem", "neutral.pem"]
FOREIGN += ["a" * 60 + ".example", ".".join(["a" * 60] * 4)]


@pytest.mark.parametrize("sni", NO_NAMES + FOREIGN)
def test_h05_no_or_a_foreign_name_never_gets_another_certificate(
    terminator: Terminator, records: Records, sni: str | bytes | None
) -> None:
    serial = install(terminator, records, "tenant.customer.example")
    if sni in NO_NAMES and terminator.kind == "nginx":
        with pytest.raises(ssl.SSLError) as refused:
            terminator.shows_placeholder(sni)
        assert refused.value.reason == "TLSV1_UNRECOGNIZED_NAME"
    else:
        assert terminator.shows_placeholder(sni)
    assert terminator.serial("tenant.customer.example") == serial


@pytest.mark.parametrize("sni", FOREIGN)
def test_h03_d01_on_443_a_name_without_a_certificate_has_its_challenge_answered_and_nothing_else(
    terminator: Terminator, records: Records, services: Services, sni: str
) -> None:
    install(terminator, records, "tenant.customer.example")
    services.store.put_token("young", "young.thumbprint", seconds=60)
    for path, host, expected in (
        (f"{CHALLENGE}young", sni, (200, b"young.thumbprint")),
        (f"{CHALLENGE}none", sni, (404, None)),
        ("/", sni, (421, None)),
        ("/", "tenant.customer.example", (421, None)),
        ("/neutral.pem", sni, (421, None)),
    ):
        with terminator.connect(sni, terminator.context(is_checked=False)) as connection:
            answer = ask(connection, host, path)
        assert answer.status == expected[0]
        assert expected[1] in {None, answer.body}
        assert b"BEGIN" not in answer.body
        assert answer.headers.get_all("Strict-Transport-Security") is None


@pytest.mark.parametrize("host", ["b.customer.example", "unknown.example", LOOPBACK, "customer.example", "a.b"])
def test_h05_a_host_that_is_not_the_name_of_the_handshake_is_421(
    terminator: Terminator, records: Records, host: str
) -> None:
    for name in ("a.customer.example", "b.customer.example"):
        install(terminator, records, name)
    answer = terminator.https("a.customer.example", host)
    assert (answer.status, b"https" in answer.body) == (421, False)


def hsts_headers(terminator: Terminator, name: str, path: str = "/") -> list[str]:
    """All HSTS headers of an answer: there must not be two."""
    return terminator.https(name, path=path).headers.get_all("Strict-Transport-Security") or []


@pytest.mark.parametrize(
    ("policy", "header"),
    [
        (None, "max-age=5184000"),
        (Hsts(3600), "max-age=3600"),
        (Hsts(3600, includes_subdomains=True, is_preload=True), "max-age=3600; includeSubDomains; preload"),
        (Hsts(0), None),
        (Hsts(0, off_until=1e11), "max-age=0"),
    ],
    ids=str,
)
def test_h03_hsts_by_policy_and_only_over_https(
    terminator: Terminator, records: Records, policy: Hsts | None, header: str | None
) -> None:
    name = "policy.customer.example"
    install(terminator, records, name)
    expected = [header] if header else []
    records.policy(name, policy)
    until(lambda: hsts_headers(terminator, name) == expected, SOON)
    until(lambda: hsts_headers(terminator, name, f"{CHALLENGE}none") == expected, SOON)
    for host in (name, "unknown.example"):
        for path in ("/", f"{CHALLENGE}none"):
            assert "Strict-Transport-Security" not in terminator.http(host, path).headers


def test_a_name_without_a_certificate_reaches_the_platform_over_plain_http(terminator: Terminator) -> None:
    answer = terminator.http("young.customer.example")
    assert (answer.status, answer.body) == (200, f"http young.customer.example {LOOPBACK}".encode())


def test_d04_d01_n31_challenges_are_answered_on_both_ports_for_any_name_and_stored_by_no_cache(
    terminator: Terminator, records: Records, services: Services
) -> None:
    name = "active.customer.example"
    install(terminator, records, name)
    for number in range(6):
        token = f"token-{number}-{terminator.kind}"
        services.store.put_token(token, f"{token}.thumbprint", seconds=60)
        for host in (name, "unknown.example", "Unknown.Example.:80", LOOPBACK):
            for answer in (terminator.http(host, CHALLENGE + token), terminator.https(name, host, CHALLENGE + token)):
                assert (answer.status, answer.body) == (200, f"{token}.thumbprint".encode())
                assert answer.headers.get_all("Cache-Control") == ["no-store"]
    unknown = terminator.http(name, f"{CHALLENGE}unknown")
    assert (unknown.status, unknown.headers.get_all("Cache-Control")) == (404, ["no-store"])


def test_d01_an_expired_certificate_is_still_served_and_its_challenge_answered(
    terminator: Terminator, records: Records, services: Services
) -> None:
    name = "late.customer.example"
    serial = install(terminator, records, name)
    ended = replace(services.store.load(name).domain.certificate, not_after=time.time() - 60)
    records.change(name, certificate=ended, is_expiry_reported=True)
    services.store.put_token("late", "late.thumbprint", seconds=60)
    until(lambda: hsts_headers(terminator, name) == [], SOON)
    assert terminator.serial(name) == serial
    plain, secured = terminator.http(name), terminator.https(name)
    assert (plain.status, secured.status) == (200, 200), "both ports are answered, and neither redirects"
    for answer in (terminator.http(name, f"{CHALLENGE}late"), terminator.https(name, path=f"{CHALLENGE}late")):
        assert (answer.status, answer.body) == (200, b"late.thumbprint")


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_both_versions_of_http_are_offered(terminator: Terminator, records: Records, protocol: str) -> None:
    install(terminator, records, "versions.customer.example")
    context = terminator.context()
    context.set_alpn_protocols([protocol])
    with terminator.connect("versions.customer.example", context) as connection:
        assert connection.selected_alpn_protocol() == protocol


def test_old_versions_of_tls_are_refused(terminator: Terminator, records: Records) -> None:
    install(terminator, records, "old.customer.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        terminator.connect("old.customer.example", context)


class Stream:
    """Continuous requests from several threads: some use a new connection for each request, some keep one."""

    def __init__(self, terminator: Terminator, name: str) -> None:
        self.terminator, self.name = terminator, name
        self.failures: list[str] = []
        self.count = 0
        self._stop = threading.Event()
        loops = [
            self._new_connections,
            self._new_connections,
            self._new_connections,
            self._one_connection,
            self._one_connection,
        ]
        self._threads = [threading.Thread(target=loop) for loop in loops]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _new_connections(self) -> None:
        context = self.terminator.context()
        while not self._stop.is_set():
            try:
                with self.terminator.connect(self.name, context) as connection:
                    self._request(connection)
            except OSError as error:
                self.failures.append(repr(error))

    def _one_connection(self) -> None:
        with self.terminator.connect(self.name) as connection:
            while not self._stop.is_set():
                try:
                    self._request(connection)
                except OSError as error:
                    self.failures.append(repr(error))
                    return

    def _request(self, connection: socket.socket) -> None:
        answer = ask(connection, self.name, "/")
        if answer.status != 200:
            self.failures.append(str(answer.status))
        self.count += 1


def test_h02_no_request_fails_while_a_certificate_is_renewed_fifty_times(
    terminator: Terminator, records: Records
) -> None:
    name = "busy.customer.example"
    install(terminator, records, name)
    with Stream(terminator, name) as stream:
        for _ in range(50):
            install(terminator, records, name)
    assert stream.failures == []
    assert stream.count > 200


def test_a_restarted_terminator_serves_the_same(terminator: Terminator, records: Records) -> None:
    names = [f"{number}.restart.customer.example" for number in range(3)]
    serials = {name: install(terminator, records, name) for name in names}
    records.policy(names[0], Hsts(60))
    records.withdraw(names[1])
    until(lambda: is_gone(terminator, names[1]), SOON)
    terminator.stop()
    renewed = records.install(names[2])
    until(lambda: renewed in terminator.sync_output(), SOON)
    terminator.start()
    until(lambda: hsts_headers(terminator, names[0]) == ["max-age=60"], SOON)
    assert [terminator.serial(name) for name in names] == [serials[names[0]], None, renewed]
    install(terminator, records, names[1])


def test_certificates_of_other_names_stay_in_haproxy(
    records: Records, edge_sandbox: Sandbox, edge_values: Settings
) -> None:
    terminator = Terminator("haproxy", edge_sandbox, edge_values, [1], 1)
    name = "beyond.customer.example"
    records.install(name)
    Run(records.services, terminator.folder)
    terminator.start()
    run = Run(records.services, terminator.folder, haproxy=edge_sandbox.folder / "haproxy.sock")
    assert (run.is_done, run.output) == (True, [])
    assert terminator.shows_placeholder("unknown.example")


def test_redis_killed_and_back(
    terminator: Terminator, records: Records, edge_sandbox: Sandbox, edge_redis: str
) -> None:
    name = "calm.customer.example"
    serial = install(terminator, records, name)
    redis = next(part for part in reversed(edge_sandbox._parts) if part.name == "redis")
    redis.kill()
    until(lambda: "temporarily unavailable" in terminator.sync_output(), 5)
    assert terminator.serial(name) == serial
    assert terminator.https(name).status == 200
    edge_sandbox.redis(port=int(edge_redis.split(":")[2].split("/", maxsplit=1)[0]))
    until(lambda: terminator.sync_output().rstrip().endswith("the sync works again"), 5)
    install(terminator, records, name)


def test_sync_ends_cleanly_at_sigterm_and_continues_from_there(terminator: Terminator, records: Records) -> None:
    name = "pause.customer.example"
    terminator.sync.process.terminate()
    assert terminator.sync.process.wait(3) == 0
    records.install(name)
    began = len(terminator.sync_output())
    terminator.start_sync()
    until(lambda: terminator.serial(name) is not None, SOON * 2)
    assert "all " not in terminator.sync_output()[began:]
    assert "Traceback" not in terminator.sync_output()


def test_a_haproxy_that_reads_another_directory_is_reported(
    records: Records, edge_sandbox: Sandbox, edge_values: Settings
) -> None:
    terminator = Terminator("haproxy", edge_sandbox, edge_values, [1], 1)
    records.install("mismatch.customer.example")
    Run(records.services, terminator.folder)
    terminator.start()
    other = edge_sandbox.folder / "other"
    run = Run(records.services, other, haproxy=edge_sandbox.folder / "haproxy.sock")
    assert not run.is_done
    assert (
        f"HAProxy: its configuration does not use {other}/crt-list.haproxy, but {terminator.folder}" in run.output[-2]
    )
