"""HAProxy as a customer's proxy (CDN): at an address that is not ours, before the port 80 of the platform.

What it does with a request depends on the first label of the Host: `tls` is redirected to HTTPS, which it ends itself,
`www` to another name; `bots` is refused by a CDN that makes itself known, `old` is answered by another server, and
`echo` with what was asked. All else is forwarded to us.
"""

import shutil
import socket
import time

from issuer.sandbox import LOOPBACK, Part, Sandbox
from issuer.sandbox.processes import _own_tls
from tests.edge.terminators import PATH

PROXY = "127.0.0.2"
CONFIG = """
defaults
    timeout connect 2s
    timeout client 5s
    timeout server 5s

frontend both
    mode tcp
    bind {proxy}:{port}
    tcp-request inspect-delay 2s
    tcp-request content accept if {{ req.ssl_hello_type 1 }} or HTTP
    use_backend tls if {{ req.ssl_hello_type 1 }}
    default_backend plain

backend tls
    mode tcp
    server tls abns@customer-tls-{port}

backend plain
    mode tcp
    server plain abns@customer-plain-{port}

frontend of_tls
    mode http
    bind abns@customer-tls-{port} ssl crt {pem}
    default_backend platform

frontend of_plain
    mode http
    bind abns@customer-plain-{port}
    http-request redirect scheme https code 301 if {{ hdr(host) -m beg tls. }}
    http-request redirect prefix http://forward.proxied.example code 302 if {{ hdr(host) -m beg www. }}
    http-request deny deny_status 403 hdr CF-RAY 1 if {{ hdr(host) -m beg bots. }}
    http-request return status 404 content-type text/plain string "not here" if {{ hdr(host) -m beg old. }}
    acl echo hdr(host) -m beg echo.
    http-request return status 200 content-type text/plain lf-string %[path,regsub(.*/,)] if echo
    default_backend platform

backend platform
    mode http
    http-request set-header X-Forwarded-For %[src]
    server platform {ours}:{port}
"""


def start(sandbox: Sandbox, port: int) -> Part:
    """Start it before the platform at the loopback address, on the same port as that, and wait until it is ready."""
    certificate, key = _own_tls(sandbox.folder / "customer")
    pem = certificate.with_name("both.pem")
    pem.write_text(certificate.read_text() + key.read_text())
    config = certificate.with_name("haproxy.cfg")
    config.write_text(CONFIG.format(proxy=PROXY, port=port, pem=pem, ours=LOOPBACK))
    program = shutil.which("haproxy", path=PATH)
    assert program, "haproxy is not installed; sh deploy/debian.sh installs what Debian has"
    part = sandbox.start("customers-proxy", [program, "-f", str(config)])
    until = time.monotonic() + 10
    while not _accepts(port):
        assert part.process.poll() is None, part.log.read_text()
        assert time.monotonic() < until, part.log.read_text()
        time.sleep(0.01)
    return part


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((PROXY, port)) == 0
