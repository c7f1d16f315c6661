"""What an edge serves for a name, by a TLS handshake with it."""

import select
import socket
import ssl
import time

from cryptography import x509

from issuer.config import parse_edge_address
from issuer.keys import is_placeholder
from issuer.ports import Finding, Verdict

CLOSED = (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)


class TlsHandshake:
    """The `Handshake` port over sockets. seconds: the bound for one handshake, the look-up of the edge's own name not
    counted."""

    def __init__(self, *, seconds: float = 2) -> None:
        self._seconds = seconds
        # What is served is wanted, whoever may have issued it.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def serves(self, edge: str, name: str, serial: str) -> Finding:
        """See `ports.Handshake`."""
        try:
            return _compared(edge, self._shown(edge, name), serial)
        except TimeoutError:
            return Finding(Verdict.UNKNOWN, f"{edge} does not answer in time")
        except CLOSED:
            return Finding(Verdict.UNKNOWN, f"{edge} breaks off")
        except ssl.SSLError as error:
            return Finding(Verdict.NO, f"{edge} refuses the name ({error.reason or 'no reason given'})")
        except (OSError, ValueError):
            return Finding(Verdict.UNKNOWN, f"{edge} does not answer")

    def _shown(self, edge: str, name: str) -> x509.Certificate:
        until = time.monotonic() + self._seconds
        with (
            socket.create_connection(parse_edge_address(edge), timeout=self._seconds) as plain,
            self._tls.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as secured,
        ):
            secured.settimeout(0)
            while (wanted := _step(secured)) is not None:
                left = max(until - time.monotonic(), 0)
                if not any(select.select(*wanted, left)):
                    raise TimeoutError
            shown = secured.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown or b"")


def _compared(edge: str, shown: x509.Certificate, serial: str) -> Finding:
    """What is to be said of an edge that serves a certificate, where one of that serial number is in force."""
    if is_placeholder(shown):
        return Finding(Verdict.NO, f"{edge} has no certificate for the name yet")
    if (found := f"{shown.serial_number:x}") == serial:
        return Finding(Verdict.YES, f"{edge} serves serial number {serial}")
    return Finding(Verdict.NO, f"{edge} still serves serial number {found}")


def _step(secured: ssl.SSLSocket) -> tuple[list[ssl.SSLSocket], list[ssl.SSLSocket], list[ssl.SSLSocket]] | None:
    """One step of a handshake; what to wait for until the next one (readable, writable, none), None at its end."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return [secured], [], []
    except ssl.SSLWantWriteError:
        return [], [secured], []
    return None
