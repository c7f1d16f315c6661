"""A root zone of our own, with signed zones below it that are sound or broken, on a real BIND; and real validating DNS
servers whose trust anchor is the key of that root."""

import shutil
import time

import dns.dnssec
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from issuer.dns.queries import name_of
from issuer.sandbox import LOOPBACK, Sandbox, free_port

DAY = 86400
APEX = "@ 60 IN SOA ns.ours.example. owner.ours.example. 1 3600 600 86400 60\n@ 60 IN NS ns.ours.example.\n"
SITE = "@ 60 IN A 192.0.2.1\nshop 60 IN CNAME edge.ours.example.\n"
ZONES = {
    "sound.example": f"""{SITE}@ 60 IN CAA 0 issue "ca.example"
to-expired 60 IN CNAME shop.expired.example.
to-our-expired 60 IN CNAME edge.expired.example.
to-nothing 60 IN CNAME gone.ours.example.
""",
    "ours.example": "edge 60 IN A 192.0.2.1\nns 60 IN A 127.0.0.1\n",
    "unsigned.example": SITE,
    "expired.example": f"{SITE}edge 60 IN A 192.0.2.1\nbelow 60 IN NS ns.ours.example.\n",
    "below.expired.example": SITE,
    "wrongds.example": SITE,
    "stripped.example": SITE,
    "tampered.example": SITE,
    "denial.example": f"{SITE}www 60 IN A 192.0.2.1\n",
}
UNSIGNED = ("ours.example", "unsigned.example", "below.expired.example")
LAME = "lame.example"
"""A zone whose server refuses all queries."""

Key = tuple[ec.EllipticCurvePrivateKey, DNSKEY]


class SignedZones:
    """authority: the address of the server that has the zones. validators: those of servers that validate, by program.
    mistrusting: that of one whose trust anchor is wrong. refusing: the port of a server that refuses all queries."""

    def __init__(self, sandbox: Sandbox, refusing: int) -> None:
        self._sandbox, self._folder = sandbox, sandbox.folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port, self._refusing = free_port(), refusing
        anchor = self._write_zones()
        self.authority = self._bind()
        self.validators = {"unbound": self._unbound("unbound", anchor), "pdns": self._pdns(anchor)}
        self.mistrusting = self._unbound("mistrusting", _digest(".", _key()))
        for server in (self.authority, self.mistrusting, *self.validators.values()):
            _wait_for(server)

    def _write_zones(self) -> str:
        """Write all zones. Returns the DS record of the root's key."""
        delegated = [name for name in (*ZONES, LAME) if name.count(".") == 1]
        root = _zone(".", APEX + "".join(f"{name}. 60 IN NS ns.ours.example.\n" for name in delegated))
        for name, records in ZONES.items():
            zone, key = _zone(name, APEX + records), _key()
            if name not in UNSIGNED:
                digest = _digest(name, _key() if name == "wrongds.example" else key)
                root.find_rdataset(name_of(name), "DS", create=True).add(dns.rdata.from_text("IN", "DS", digest), 60)
            if name not in (*UNSIGNED, "stripped.example"):
                _sign(zone, key, is_expired=name == "expired.example")
            _spoil(name, zone)
            self._write(name, zone)
        key = _key()
        _sign(root, key)
        self._write(".", root)
        return _digest(".", key)

    def _write(self, name: str, zone: dns.zone.Zone) -> None:
        zone.to_file(str(self._folder / _file(name)), relativize=False)

    def _program(self, name: str) -> str:
        """A copy: AppArmor lets the packaged one read no files but its own."""
        copy = self._folder / name
        return str(copy if copy.exists() else shutil.copy(f"/usr/sbin/{name}", copy))

    def _bind(self) -> str:
        config = self._folder / "named.conf"
        zones = "".join(f'zone "{name}" {{ type primary; file "{_file(name)}"; }};\n' for name in (".", *ZONES))
        config.write_text(
            f"""options {{
  directory "{self._folder}";
  pid-file none;
  session-keyfile none;
  listen-on-v6 {{ none; }};
  listen-on port {self._port} {{ {LOOPBACK}; }};
  recursion no;
  dnssec-validation no;
}};
controls {{ }};
{zones}"""
        )
        self._sandbox.start("named", [self._program("named"), "-g", "-n", "1", "-c", str(config)])
        return f"{LOOPBACK}:{self._port}"

    def _unbound(self, name: str, anchor: str) -> str:
        port = free_port()
        config = self._folder / f"{name}.conf"
        config.write_text(
            f"""server:
  interface: {LOOPBACK}@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{self._folder}"
  use-syslog: no
  do-not-query-localhost: no
  trust-anchor: ". DS {anchor}"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {LOOPBACK}@{self._port}
forward-zone:
  name: "{LAME}"
  forward-addr: {LOOPBACK}@{self._refusing}
"""
        )
        self._sandbox.start(name, [self._program("unbound"), "-c", str(config)])
        return f"{LOOPBACK}:{port}"

    def _pdns(self, anchor: str) -> str:
        """As it is packaged: it validates only what is asked for with the AD or the DO bit."""
        port = free_port()
        forwarded = dict.fromkeys((".", *ZONES), self._port) | {LAME: self._refusing}
        trust = self._folder / "trust.lua"
        trust.write_text(f"clearTA()\naddTA('.', '{anchor}')\n")
        options = {
            "config-dir": self._folder,
            "socket-dir": self._folder,
            "local-address": LOOPBACK,
            "local-port": port,
            "forward-zones": ",".join(f"{name}={LOOPBACK}:{port}" for name, port in forwarded.items()),
            "lua-config-file": trust,
            "dont-query": "",
            "security-poll-suffix": "",
            "daemon": "no",
            "write-pid": "no",
            "disable-syslog": "yes",
            "threads": 1,
        }
        command = [f"--{option}={value}" for option, value in options.items()]
        self._sandbox.start("pdns", [self._program("pdns_recursor"), *command])
        return f"{LOOPBACK}:{port}"


def _file(name: str) -> str:
    return f"{name.strip('.') or 'root'}.zone"


def _zone(name: str, records: str) -> dns.zone.Zone:
    return dns.zone.from_text(records, origin=name_of(name), relativize=False)


def _key() -> Key:
    private = ec.generate_private_key(ec.SECP256R1())
    return private, dns.dnssec.make_dnskey(private.public_key(), "ECDSAP256SHA256", flags=257)


def _digest(name: str, key: Key) -> str:
    return dns.dnssec.make_ds(name_of(name), key[1], "SHA256").to_text()


def _sign(zone: dns.zone.Zone, key: Key, *, is_expired: bool = False) -> None:
    now = int(time.time())
    # unbound still accepts a signature for a day after its end.
    expiration = now - 10 * DAY if is_expired else now + 30 * DAY
    dns.dnssec.sign_zone(zone, keys=[key], inception=now - 30 * DAY, expiration=expiration, dnskey_ttl=60)


def _spoil(name: str, zone: dns.zone.Zone) -> None:
    """Change a zone after it was signed: an address, or the proof of which records a name does not have."""
    if name == "tampered.example":
        zone.replace_rdataset(name_of(name), dns.rdataset.from_text("IN", "A", 60, "192.0.2.99"))
    if name == "denial.example":
        proof = dns.rdataset.from_text("IN", "NSEC", 60, f"{name}. A TXT RRSIG NSEC")
        zone.replace_rdataset(name_of(f"www.{name}"), proof)


def _wait_for(server: str) -> None:
    """Until it answers."""
    host, _, port = server.rpartition(":")
    query = dns.message.make_query(".", "SOA")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            dns.query.udp(query, host, timeout=0.5, port=int(port))
        except (OSError, dns.exception.Timeout):
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{server} does not answer")
