"""A scripted DNS server on a free port of 127.0.0.1, UDP and TCP, to give every answer a resolver can get."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tokenizer

RCODES = ("NXDOMAIN", "SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "YXDOMAIN", "NOTAUTH")
Answers = Sequence[str] | str
Zone = dict[tuple[str, str], Answers]
"""(name, type) to records or one of RCODES, EMPTY LAME SILENT GARBAGE TRUNCATED BOGUS, or "EDE 7". Type "*" is any.

A name with a CNAME answers other types with it, and no further unless the server follows. A name with other
types only is EMPTY, any other name NXDOMAIN. TRUNCATED says so over UDP and hangs up over TCP. BOGUS is SERVFAIL,
but EMPTY without the check of DNSSEC (CD); EDE is SERVFAIL with an extended error.
A record that begins with \\# is sent as the bytes it has (RFC 3597 §5).
"""


@dataclass
class DnsServer:
    zone: Zone
    follow: bool
    port: int
    without_edns: str
    odd: tuple[str, str]
    questions: list[tuple[str, str]] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    """Of the questions."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def reply(self, wire: bytes, *, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((question.name.to_text(), rdtype))
        self.flags.append(query.flags)
        response = dns.message.make_response(query)
        if self.without_edns and query.edns >= 0:
            if self.without_edns == "SILENT":
                return None
            response.set_rcode(dns.rcode.from_text(self.without_edns))
            response.use_edns(-1)
            return response.to_wire()
        match self._fill(response, question.name, rdtype):
            case "SILENT":
                return None
            case "BOGUS" if not query.flags & dns.flags.CD:
                response.set_rcode(dns.rcode.SERVFAIL)
            case failure if failure.startswith("EDE "):
                response.set_rcode(dns.rcode.SERVFAIL)
                response.use_edns(0, options=[dns.edns.EDEOption(int(failure.removeprefix("EDE ")))])
            case "GARBAGE":
                return wire[:2] + b"\xff" * 20
            case "TRUNCATED":
                response.flags |= dns.flags.TC
                return None if tcp else response.to_wire()
        return response.to_wire(max_size=65535 if tcp else 512, prefer_truncation=True)

    def _fill(self, response: dns.message.Message, name: dns.name.Name, rdtype: str) -> str:
        kind, answers = (rdtype, self.odd[1]) if rdtype == self.odd[0] else self._lookup(name, rdtype)
        if not isinstance(answers, str):
            response.answer.append(dns.rrset.from_rdata(name, 60, *(_record(kind, answer) for answer in answers)))
            target = dns.name.from_text(answers[0]) if kind != rdtype else name
            if self.follow and all(rrset.name != target for rrset in response.answer):
                return self._fill(response, target, rdtype)
            return ""
        if answers in RCODES:
            response.set_rcode(dns.rcode.from_text(answers))
        if answers == "LAME":
            response.authority.append(dns.rrset.from_text(".", 60, "IN", "NS", "a.root-servers.net."))
        return answers

    def _lookup(self, name: dns.name.Name, rdtype: str) -> tuple[str, Answers]:
        held = {kind: answers for (owner, kind), answers in self.zone.items() if dns.name.from_text(owner) == name}
        for kind in (rdtype, "*"):
            if kind in held:
                return rdtype, held[kind]
        alias = held.get("CNAME", "EMPTY" if held else "NXDOMAIN")
        return ("CNAME", alias) if not isinstance(alias, str) else (rdtype, "EMPTY" if held else alias)


def _record(kind: str, text: str) -> dns.rdata.Rdata:
    what = dns.rdataclass.IN, dns.rdatatype.from_text(kind)
    if text.startswith("\\#"):
        return dns.rdata.GenericRdata.from_text(*what, dns.tokenizer.Tokenizer(text))
    return dns.rdata.from_text(*what, text)


@contextmanager
def dns_server(
    zone: Zone, *, follow: bool = False, without_edns: str = "", odd: tuple[str, str] = ("", "")
) -> Iterator[DnsServer]:
    """without_edns: how it refuses queries with EDNS: a code, or SILENT; empty: it does not. odd: a type, and how every
    query for it fails."""
    udp, tcp = _pair()
    server = DnsServer(zone, follow, udp.getsockname()[1], without_edns, odd)
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=(server, sock, stop)) for run, sock in ((_udp, udp), (_tcp, tcp))]
    with closing(udp), closing(tcp):
        for thread in threads:
            thread.start()
        try:
            yield server
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _pair() -> tuple[socket.socket, socket.socket]:
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
            tcp.listen()
        except OSError:
            udp.close()
            tcp.close()
            continue
        udp.settimeout(0.02)
        tcp.settimeout(0.02)
        return udp, tcp


def _udp(server: DnsServer, sock: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            wire, peer = sock.recvfrom(4096)
        except TimeoutError:
            continue
        if (reply := server.reply(wire, tcp=False)) is not None:
            sock.sendto(reply, peer)


def _tcp(server: DnsServer, sock: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            connection, _ = sock.accept()
        except TimeoutError:
            continue
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(1)
            wire = stream.read(int.from_bytes(stream.read(2), "big"))
            if (reply := server.reply(wire, tcp=True)) is not None:
                connection.sendall(len(reply).to_bytes(2, "big") + reply)
