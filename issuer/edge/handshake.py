"""Which certificate an edge serves for a name, found by a TLS handshake."""

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
    """The `Handshake` port over sockets. seconds: the limit for one handshake, without the DNS look-up of the edge's
    own name."""

    def __init__(self, *, seconds: float = 2) -> None:
        self._seconds = seconds
        # The certificate is only read, so it need not be trusted.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def serves(self, edge: str, name: str, serial: str) -> Finding:
        """See `ports.Handshake`."""
        try:
            return _compared(edge, self._served(edge, name), serial)
        except TimeoutError:
            return Finding(Verdict.UNKNOWN, f"{edge} does not answer in time")
        except CLOSED:
            return Finding(Verdict.UNKNOWN, f"{edge} closes the connection early")
        except ssl.SSLError as error:
            return Finding(Verdict.NO, f"{edge} refuses the name ({error.reason or 'no reason given'})")
        except (OSError, ValueError):
            return Finding(Verdict.UNKNOWN, f"{edge} does not answer")

    def _served(self, edge: str, name: str) -> x509.Certificate:
        until = time.monotonic() + self._seconds
        with (
            socket.create_connection(parse_edge_address(edge), timeout=self._seconds) as plain,
            self._tls.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as secured,
        ):
            secured.settimeout(0)
            while (wait_for := _step(secured)) is not None:
                seconds_left = max(until - time.monotonic(), 0)
                if not any(select.select(*wait_for, seconds_left)):
                    raise TimeoutError
            der = secured.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der or b"")


def _compared(edge: str, served: x509.Certificate, serial: str) -> Finding:
    """Whether the certificate that an edge serves is the one in force, which has this serial number."""
    if is_placeholder(served):
        return Finding(Verdict.NO, f"{edge} has no certificate for the name yet")
    if (served_serial := f"{served.serial_number:x}") == serial:
        return Finding(Verdict.YES, f"{edge} serves serial number {serial}")
    return Finding(Verdict.NO, f"{edge} still serves serial number {served_serial}")


def _step(secured: ssl.SSLSocket) -> tuple[list[ssl.SSLSocket], list[ssl.SSLSocket], list[ssl.SSLSocket]] | None:
    """One step of a handshake. Returns the arguments of `select` before the next step, or None when it is complete."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return [secured], [], []
    except ssl.SSLWantWriteError:
        return [], [secured], []
    return None
