"""Which URLs of a CA's answers may be requested: its directory's origin and the hosts that the operator names."""

import pytest

from issuer.ca.transport import Transport
from issuer.problem import Problem, ProblemType

HERE = Transport("https://ca.example/directory", hosts=("acme.example", "cdn.example"))
PORT = Transport("https://ca.example:14000/dir")
SIX = Transport("https://[::1]:14000/dir")


@pytest.mark.parametrize(
    ("transport", "url"),
    [
        (HERE, "https://ca.example/acme/order/1"),
        (HERE, "https://ca.example"),
        (HERE, "https://ca.example?x#y"),
        (HERE, "https://ca.example:443/x"),
        (HERE, "https://ca.example:/x"),
        (HERE, "https://CA.Example/x"),
        (HERE, "HTTPS://ca.example/x"),
        (HERE, "https://acme.example/x"),
        (HERE, "https://cdn.example:443/x"),
        (HERE, "https://ca.example/@evil.example/https://evil.example/"),
        (PORT, "https://ca.example:14000/x"),
        (PORT, "https://ca.example:014000/x"),
        (SIX, "https://[::1]:14000/x"),
    ],
)
def test_its_own_hosts(transport: Transport, url: str) -> None:
    transport.require_own(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://ca.example/x", "ftp://ca.example/x", "wss://ca.example/x", "file:///etc/passwd", "data:,x"),
        *("https://ca.example:444/x", "https://ca.example:80/x", "http://ca.example:443/x"),
        *("https://ca.example@evil.example/", "https://ca.example:443@evil.example/", "https://a:b@ca.example/"),
        *("https://@ca.example/", "https://evil.example/@ca.example/", "https://evil.example#@ca.example/"),
        *("https://evil.example\\@ca.example/", "https://ca.example\\.evil.example/", "https:\\\\ca.example/x"),
        *("https://ca.example./x", "https://www.ca.example/x", "https://ca.example.evil.example/", "https://example/"),
        *(
            "https://ca%2eexample/",
            "https://ca.example%00.evil.example/",
            "https://ca\uff0eexample/",
            "https://c\u0430.example/",
        ),
        *("https://[::1]/", "https://[::ffff:192.0.2.1]/", "https://[ca.example]/", "https://[::1", "https://]/"),
        *("https://192.0.2.1/", "https://2130706433/", "https://0x7f.1/", "https://127.1/"),
        *(
            "https://ca.example:x/",
            "https://ca.example:-1/",
            "https://ca.example:99999/",
            "https://ca.example:443:443/",
        ),
        *(
            "//ca.example/x",
            "/acme/order/1",
            "ca.example/x",
            "acme",
            "",
            " ",
            "https://",
            "https:///x",
            "https:ca.example/x",
        ),
        *("https://acme.example:8443/x", "https://x.acme.example/", "http://acme.example/x"),
        *("https://ca.example\ud800/", "\ud800", "https://" + "a" * 100_000),
        *("https://ca.example\t/x", "https://ca.exa\nmple/x", " https://ca.example/x", "https://ca.example/\r\nX: y"),
        *("https://ca.example/größe", "https://ca.example/a b", "https://ca.example/x\\y", "https://ca.example/\x7f"),
    ],
)
def test_no_other_hosts(url: str) -> None:
    with pytest.raises(Problem) as caught:
        HERE.require_own(url)
    assert caught.value.type is ProblemType.CA_UNAVAILABLE
    assert caught.value.detail.isascii()
    assert len(caught.value.detail) < 1500


@pytest.mark.parametrize(
    "url", ["https://ca.example/x", "https://[::1]/x", "https://[::1%25lo]:14000/", "https://[::2]:14000/"]
)
@pytest.mark.parametrize("transport", [PORT, SIX])
def test_no_other_port_or_address(transport: Transport, url: str) -> None:
    with pytest.raises(Problem):
        transport.require_own(url)
