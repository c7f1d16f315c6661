"""Renewal info and `replaces` (RFC 9773) over the wire: Pebble has no ARI, so the wire puts it into its directory."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from josepy.json_util import decode_b64jose

from issuer.ca import AcmeAuthority
from issuer.problem import Problem, ProblemType
from tests.fakes import FakeClock
from tests.wire import Answer, Fault, Wire, cut

NAME = "track.customer.example"
ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
START, END = 1_790_000_000.25, 1_790_086_400.5


@pytest.fixture
def wire(wire: Wire) -> Wire:
    def with_renewal_info(answer: Answer) -> Answer:
        status, headers, body = answer
        return status, headers, json.dumps(json.loads(body) | {"renewalInfo": f"https://{wire.host}/ari"}).encode()

    wire.add(Fault("/dir", times=99, after=with_renewal_info))
    return wire


@pytest.fixture
def ca(new_ca: Callable[[], AcmeAuthority]) -> AcmeAuthority:
    return new_ca()


def saying(document: object, headers: dict[str, str] | None = None, status: int = 200) -> Callable[[], Answer]:
    return lambda: (status, headers or {}, json.dumps(document).encode())


def window(start: object, end: object) -> dict[str, object]:
    return {"suggestedWindow": {"start": start, "end": end}}


def text(at: float, zone: timezone = UTC) -> str:
    return datetime.fromtimestamp(at, zone).isoformat()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=9))])
def test_g07_a_window_is_read_in_any_zone(ca: AcmeAuthority, wire: Wire, clock: FakeClock, zone: timezone) -> None:
    document = window(text(START, zone), text(END, zone)) | {"explanationURL": "https://ca.example/why"}
    wire.add(Fault("/ari", before=saying(document, {"Retry-After": "21600"})))
    info = ca.renewal_info(ID)
    assert (info.window.certificate_id, info.window.start, info.window.end) == (ID, START, END)
    assert info.window.explanation_url == "https://ca.example/why"
    assert info.ask_again_at == clock() + 21600
    assert wire.count(f"/ari/{ID}") == 1


def test_the_form_that_ends_in_z_and_no_retry_after(ca: AcmeAuthority, wire: Wire) -> None:
    wire.add(Fault("/ari", before=saying(window("2026-09-21T13:46:40Z", "2026-09-22T13:46:40Z"))))
    info = ca.renewal_info(ID)
    assert (info.window.start, info.window.end, info.ask_again_at) == (1_789_998_400, 1_790_084_800, None)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"suggestedWindow": None},
        {"suggestedWindow": []},
        {"suggestedWindow": {}},
        window("2026-09-21T13:46:40Z", None),
        window(1_790_000_000, 1_790_086_400),
        window("2026-09-21T13:46:40", "2026-09-22T13:46:40"),
        window("2026-09-21T13:46:40Z", "2026-09-21T13:46:40Z"),
        window("2026-09-22T13:46:40Z", "2026-09-21T13:46:40Z"),
        window("soon", "later"),
    ],
)
def test_g07_what_is_no_window_is_a_temporary_problem(ca: AcmeAuthority, wire: Wire, document: object) -> None:
    wire.add(Fault("/ari", before=saying(document)))
    with pytest.raises(Problem) as caught:
        ca.renewal_info(ID)
    assert caught.value.type is ProblemType.NO_RENEWAL_INFO


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        (cut, ProblemType.CA_UNAVAILABLE),
        (saying({}, status=404), ProblemType.NO_RENEWAL_INFO),
        (saying([]), ProblemType.CA_UNAVAILABLE),
        (saying({}, status=503), ProblemType.CA_UNAVAILABLE),
        (saying({}, {"Retry-After": "99"}, status=429), ProblemType.RATE_LIMITED),
        (lambda: (200, {}, b"<html>"), ProblemType.CA_UNAVAILABLE),
    ],
)
def test_no_answer_is_a_problem(
    ca: AcmeAuthority, wire: Wire, answer: Callable[[], Answer], type_: ProblemType
) -> None:
    wire.add(Fault("/ari", before=answer))
    with pytest.raises(Problem) as caught:
        ca.renewal_info(ID)
    assert caught.value.type is type_


def sent(wire: Wire) -> list[str | None]:
    """What each request for a new order named as replaced."""
    payloads = [
        decode_b64jose(json.loads(body)["payload"]) for path, body in wire.bodies if path.endswith("/order-plz")
    ]
    return [json.loads(payload).get("replaces") for payload in payloads]


def test_replaces_is_sent_with_the_order(ca: AcmeAuthority, wire: Wire) -> None:
    assert ca.has_renewal_info()
    ca.new_order(NAME, ID)
    ca.new_order(NAME)
    assert sent(wire) == [ID, None]


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (409, "alreadyReplaced"),
        (409, "conflict"),
        (400, "malformed"),
        (403, "unauthorized"),
        (404, "malformed"),
        (400, "unknownToUs"),
    ],
)
def test_whatever_is_wrong_with_replaces_the_order_is_asked_for_once_more_without(
    ca: AcmeAuthority, wire: Wire, status: int, type_: str
) -> None:
    said = {"type": f"urn:ietf:params:acme:error:{type_}", "detail": "no"}
    wire.add(Fault("/order-plz", before=saying(said, status=status)))
    assert ca.new_order(NAME, ID).authorization_urls
    assert sent(wire) == [ID, None]


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        ((429, "rateLimited"), ProblemType.RATE_LIMITED),
        ((503, "rateLimited"), ProblemType.CA_UNAVAILABLE),
        ((500, "serverInternal"), ProblemType.CA_UNAVAILABLE),
        ((500, "malformed"), ProblemType.CA_UNAVAILABLE),
        ((502, "alreadyReplaced"), ProblemType.CA_UNAVAILABLE),
        ((400, "rejectedIdentifier"), ProblemType.CA_REFUSED),
        ((403, "caa"), ProblemType.CAA),
        ((403, "userActionRequired"), ProblemType.CA_SETTINGS),
        ((400, "serverInternal"), ProblemType.CA_UNAVAILABLE),
    ],
)
def test_n07_what_is_not_about_replaces_does_not_drop_it(ca: AcmeAuthority, wire: Wire, answer, type_) -> None:
    status, said = answer
    wire.add(Fault("/order-plz", before=saying({"type": f"urn:ietf:params:acme:error:{said}"}, status=status)))
    with pytest.raises(Problem) as caught:
        ca.new_order(NAME, ID)
    assert caught.value.type is type_
    assert ca.new_order(NAME, ID).authorization_urls
    assert sent(wire) == [ID, ID]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("times", [1, 2])
def test_n07_pages_of_a_proxy_do_not_drop_replaces(ca: AcmeAuthority, wire: Wire, status: int, times: int) -> None:
    wire.add(Fault("/order-plz", times, before=lambda: (status, {}, b"<html>Error</html>")))
    if times > 1:
        with pytest.raises(Problem) as caught:
            ca.new_order(NAME, ID)
        assert caught.value.type is ProblemType.CA_UNAVAILABLE
    assert ca.new_order(NAME, ID).authorization_urls
    assert sent(wire) == [ID] * (times + 1)


def test_an_order_refused_with_and_without_is_refused_with_the_last_reason(ca: AcmeAuthority, wire: Wire) -> None:
    for detail in ("the certificate", "the request"):
        said = {"type": "urn:ietf:params:acme:error:malformed", "detail": detail}
        wire.add(Fault("/order-plz", before=saying(said, status=400)))
    with pytest.raises(Problem) as caught:
        ca.new_order(NAME, ID)
    assert (caught.value.type, caught.value.detail) == (ProblemType.CA_MISUNDERSTOOD, "the request (malformed)")
    assert sent(wire) == [ID, None]


def test_an_account_that_the_ca_has_lost_is_found_again_and_replaces_is_sent_again(
    ca: AcmeAuthority, wire: Wire
) -> None:
    ca.new_order(NAME)
    said = {"type": "urn:ietf:params:acme:error:accountDoesNotExist", "detail": "who?"}
    wire.add(Fault("/order-plz", before=saying(said, status=400)))
    with pytest.raises(Problem):
        ca.new_order(NAME, ID)
    assert sent(wire) == [None, ID]


def test_the_directory_is_read_once_a_day(ca: AcmeAuthority, wire: Wire, clock: FakeClock) -> None:
    for _ in range(3):
        assert ca.has_renewal_info()
    assert wire.count("/dir") == 1
    clock.forward(86401)
    assert ca.has_renewal_info()
    assert wire.count("/dir") == 2
    clock.forward(-3600)
    assert ca.has_renewal_info()
    assert wire.count("/dir") == 3
