"""A second, independent CA for the tests: acme2certifier, which has real renewal info (RFC 9773).

It is a third-party program under another licence, so it runs as a process of its own in a virtual environment of its
own, and nothing of it is imported here. It validates only on port 80 and queries DNS only on port 53, so both get
addresses of their own in 127.0.0.0/8.
"""

import configparser
import datetime as dt
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import urllib3

from issuer.sandbox import LOOPBACK, Part, Sandbox, SandboxError, free_port
from tests.checkout import CHECKOUT
from tests.hierarchy import Hierarchy
from tests.parallel import own

GUNICORN = CHECKOUT / ".venv-acme2certifier" / "bin" / "gunicorn"
APPLICATION = "acme2certifier.share.acme2certifier_wsgi:application"
DNS_PORT, WEB_PORT = 53, 80
NEEDS_ROOT = "only root can run this test"
DAY = dt.timedelta(days=1)


def why_not() -> str:
    """Why it cannot run on this machine, or an empty string."""
    if not GUNICORN.exists():
        return f"there is no {GUNICORN.relative_to(CHECKOUT)}: make test sets it up"
    try:
        _own_address(WEB_PORT)
    except PermissionError:
        return f"the second CA validates on port 80, which this user may not open: {NEEDS_ROOT}"
    return ""


class SecondCa:
    """web: the address where it validates (port 80), which every name has in its `dns`. root: the file of the root that
    its chains lead to, PEM. part: the process, with its log."""

    part: Part

    def __init__(self, sandbox: Sandbox, lifetime: dt.timedelta) -> None:
        port, nameserver, self.web = free_port(), _own_address(DNS_PORT), _own_address(WEB_PORT)
        self.directory_url = f"http://{LOOPBACK}:{port}/directory"
        self._sandbox, self._port = sandbox, port
        folder = sandbox.folder / f"acme2certifier-{port}"
        self._config, self._issued = folder / "acme_srv.cfg", folder / "issued"
        self._issued.mkdir(parents=True)
        # It counts in whole days, but no certificate outlives that of its issuer, which it reads again each time.
        self.hierarchy = Hierarchy(folder, lifetime if lifetime < DAY else None)
        self.root = self.hierarchy.root_file
        self._sections: dict[str, Mapping[str, object]] = {
            "DEFAULT": {"dns_server_list": f'["{nameserver}"]'},
            "DBhandler": {"handler_module": "acme2certifier.dbhandlers.wsgi_handler", "dbfile": folder / "sqlite"},
            "CAhandler": {
                "handler_module": "acme2certifier.cahandlers.openssl_ca_handler",
                "issuing_ca_cert": self.hierarchy.file,
                "issuing_ca_key": self.hierarchy.key_file,
                "issuing_ca_crl": folder / "crl.pem",
                "cert_save_path": self._issued,
                "cert_validity_days": max(lifetime.days, 1),
                "cert_validity_adjust": True,
                "cn_enforce": True,  # without a name in the subject its SAN would have to be critical, and never is
            },
        }
        self.dns = sandbox.dns(f"{nameserver}:{DNS_PORT}", default=self.web)

    def start(self, **renewal_info: object) -> None:
        """Start it, or start it again with other entries of its section [Renewalinfo]: renewalthreshold_pctg, the part
        of a lifetime at which the window begins (85; below 0 it lies in the past), renewal_window_duration,
        retry_after_timeout, renewalinfo_disable."""
        sections = self._sections | {"Renewalinfo": renewal_info}
        config = configparser.ConfigParser(interpolation=None)
        config.read_dict(sections)
        with self._config.open("w") as file:
            config.write(file)
        # Loaded before the workers are forked, as it makes its database while it is imported. It reckons in local time.
        serving = [f"--bind={LOOPBACK}:{self._port}", "--workers=2", "--threads=4", "--preload", "--no-control-socket"]
        environment = {"ACME_SRV_CONFIGFILE": str(self._config), "TZ": "UTC", "NO_PROXY": "*"}
        self.part = self._sandbox.start(
            f"acme2certifier-{self._port}", [str(GUNICORN), *serving, APPLICATION], environment
        )
        self._sandbox._ready(self.part, lambda: _answers(self.directory_url))

    def stop(self) -> None:
        """End it at once: after SIGTERM it would wait for open connections."""
        self.part.stop(signal.SIGQUIT)

    def issued(self) -> int:
        """How many certificates it has issued: it stores each in a file."""
        return len(list(self._issued.iterdir()))


@contextmanager
def second_ca(sandbox: Sandbox, lifetime: dt.timedelta = 90 * DAY, **renewal_info: object) -> Iterator[SecondCa]:
    """Run it. lifetime: of its certificates; whole days, or from two seconds to less than a day."""
    ca = SecondCa(sandbox, lifetime)
    with ca.hierarchy.kept_short():
        ca.start(**renewal_info)
        yield ca
        ca.stop()


def _own_address(port: int) -> str:
    """An address of the loopback network whose `port` is free for TCP and UDP, so that two runs do not meet; nor
    do the processes of one."""
    for _ in range(20):
        address = f"127.{port}.{secrets.choice(own(range(256)))}.{1 + secrets.randbelow(254)}"
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((address, port))
                udp.bind((address, port))
            except PermissionError:
                raise
            except OSError:
                continue
            return address
    raise SandboxError(f"port {port} is taken on all addresses of the loopback network")


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=1).status == 200
    except urllib3.exceptions.HTTPError:
        return False
