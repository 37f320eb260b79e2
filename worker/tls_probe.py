"""Why a connection cannot be made: one TLS handshake with Python's ``ssl``, after gRPC's has failed.

gRPC reports every failed handshake as UNAVAILABLE, with a text that names its own source files. Python's ``ssl``,
given the same files, reports what was wrong, and distinguishes a server that refuses a certificate from one that is
not there.
"""

from __future__ import annotations

import socket
import ssl

from gradwire.common.errors import Unauthenticated
from gradwire.common.transport.address import Address
from gradwire.common.transport.tls import WorkerTls

TIMEOUT = 5.0  # seconds for the handshake, and again for the server's first frame
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


class _ClosedByServerError(Exception):
    """The server closed the connection without an alert, after this side had completed the handshake."""


def diagnose(address: Address, tls: WorkerTls | None) -> Unauthenticated | None:
    """What in the certificates, or in TLS itself, keeps this worker out; None when the cause is another.

    gRPC's server sends no alert when it refuses a certificate: it closes the connection where it would have sent its
    first frame. So does one that is being stopped, hence two attempts. Blocks for up to 20 seconds; the server sees
    connections that send nothing.
    """
    for _ in range(2):
        try:
            return _handshake(address, tls)
        except _ClosedByServerError:
            continue
    if tls is None:
        return _speaks_tls(address)
    if tls.identity is None:
        return Unauthenticated(f"{address} asks for a certificate: give this worker's with --cert")
    return Unauthenticated(
        f"{address} does not accept the certificate in {tls.identity.certificate_file}: it has to be a worker's, "
        "signed by the authority that the server was given, and valid by the server's clock"
    )


def _handshake(address: Address, tls: WorkerTls | None) -> Unauthenticated | None:
    completed = False
    try:
        with (
            socket.create_connection((address.host, address.port), TIMEOUT) as plain,
            _context(tls).wrap_socket(plain, server_hostname=address.host) as link,
        ):
            completed = True
            if link.recv(1):
                return None if tls is not None else _speaks_tls(address)
            raise _ClosedByServerError
    except ssl.SSLCertVerificationError as error:
        return Unauthenticated(f"the server's certificate is not accepted: {_verification(error, address)}")
    except (ssl.SSLEOFError, ConnectionResetError):
        if completed:
            raise _ClosedByServerError from None
        return None  # as a forwarded port without a listener does
    except ssl.SSLError as error:
        return _from_ssl_error(error, address, tls)
    except OSError:  # no server, or too slow: certificates are not the cause
        return None


def _context(tls: WorkerTls | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])  # gRPC closes the connection without it
    if tls is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_verify_locations(cadata=tls.authorities.decode("ascii"))
    if tls.identity is not None:
        context.load_cert_chain(tls.identity.certificate_file, tls.identity.key_file)
    return context


def _from_ssl_error(error: ssl.SSLError, address: Address, tls: WorkerTls | None) -> Unauthenticated | None:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        if tls is None:
            return None
        return Unauthenticated(
            f"{address} does not speak TLS: start the server with --certs, or this worker without --ca and --cert"
        )
    if "ALERT" not in reason:
        return None
    if tls is None:
        return _speaks_tls(address)
    return Unauthenticated(f"{address} refused this worker's certificate: {reason.replace('_', ' ').lower()}")


def _speaks_tls(address: Address) -> Unauthenticated:
    return Unauthenticated(
        f"{address} speaks TLS: give this worker's certificate with --cert, or the authority's alone with --ca"
    )


def _verification(error: ssl.SSLCertVerificationError, address: Address) -> str:
    if error.verify_code in (18, 19, 20, 21):  # X509_V_ERR_…: self-signed, or no issuer that we know
        return "another authority signed it than the one in --ca or --cert"
    if error.verify_code in (7, 30):  # the signature, or the authority's key, is not that of the name
        return "its signature is not that of the authority in --ca or --cert"
    if error.verify_code == 10:
        return "it has expired: make a new one with `gradwire certs --force`"
    if error.verify_code in (62, 64):  # host name, IP address
        return f"it is not for {address.host}: make one with `gradwire certs --host {address.host} --force`"
    return error.verify_message
