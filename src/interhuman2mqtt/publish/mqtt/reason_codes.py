"""Reason codes of the broker, and errors on the way to it, as errors of ours: what came back, and what to do. No I/O.

The numbers are MQTT 5's reason codes (2.4); paho turns those of MQTT 3.1.1's CONNACK into the same. Each function
returns an error with one sentence for people, which names the broker by `at` (host:port).
"""

import socket
import ssl

from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused

UNSUPPORTED_VERSION = 0x84
KEEPALIVE_TIMEOUT = 0x8D
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B

_CHECK_USER = "check mqtt.username and mqtt.password, and who the broker lets in"

_connack_refused = {
    UNSUPPORTED_VERSION: "does not speak this version of MQTT: set mqtt.protocol to another, or to auto",
    0x85: "does not accept our client id: set mqtt.client_id to one that it does (a portable one has at most 23 "
    "letters and digits)",
    0x86: f"refused the user name or the password: {_CHECK_USER}",
    0x87: f"does not let us in (not authorized): {_CHECK_USER}",
    0x8A: "has banned this client: its administrator must lift that",
    0x8C: f"asks for a way of authentication that we do not have: {_CHECK_USER}",
    0x90: "does not accept the topic of our will: check mqtt.base_topic",
    0x95: "takes no packet as large as our CONNECT: raise its maximum packet size",
    RETAIN_NOT_SUPPORTED: "does not support retained messages",
    QOS_NOT_SUPPORTED: "does not support the QoS of our will",
    0x9C: "sends us to another server: set mqtt.url to that one",
    0x9D: "has moved to another server: set mqtt.url to that one",
}
"""Codes of CONNACK that a person must mend."""

_overloaded = {0x89, 0x93, 0x96, 0x97, 0x9F}
"""Server busy, receive maximum exceeded, message rate too high, quota exceeded, connection rate exceeded."""

_disconnect_refused = {
    0x87: f"no longer lets us in (not authorized): {_CHECK_USER}",
    0x98: "ended our connection on its administrator's behalf",
    0x9C: "sends us to another server: set mqtt.url to that one",
    0x9D: "has moved to another server: set mqtt.url to that one",
}

_certificates = {
    10: "has a certificate that has expired (or this box's clock is wrong): renew it",
    18: "has a certificate that it signed itself: name it, or the CA that you trust, in mqtt.ca_file",
    19: "has a certificate of a CA that is not known here: name that CA in mqtt.ca_file",
    20: "has a certificate of a CA that is not known here: name that CA in mqtt.ca_file",
    62: "has a certificate for another host name: use in mqtt.url a name that stands in the certificate",
    64: "has a certificate that does not name this address: use in mqtt.url a name that stands in the certificate",
}
"""OpenSSL's X509_V_ERR_* of `openssl/x509_vfy.h`."""

_NOT_YET_VALID = 9

_alerts = {
    "CERTIFICATE_REQUIRED": "asks for a client certificate: set mqtt.cert_file and mqtt.key_file",
    "HANDSHAKE_FAILURE": "did not agree on TLS; it may ask for a client certificate: see mqtt.cert_file, mqtt.key_file",
    "UNKNOWN_CA": "does not know the CA of our client certificate: check mqtt.cert_file",
    "CERTIFICATE_EXPIRED": "says that our client certificate has expired: renew the one in mqtt.cert_file",
    "BAD_CERTIFICATE": "does not accept our client certificate: check mqtt.cert_file",
    "UNEXPECTED_EOF_WHILE_READING": "ended the connection instead of speaking TLS: use its TLS port (often 8883)",
    "WRONG_VERSION_NUMBER": "does not speak TLS on this port: use mqtt:// in mqtt.url, or its TLS port (often 8883)",
}
"""The end of OpenSSL's name of an error, which holds the TLS alert (RFC 8446, 6.2), and what it says about a broker."""


def connack(code: int, text: str, at: str) -> Outage:
    """Return the error for a CONNACK with a code of failure; `text` is the broker's own reason string."""
    own = f" (it says: {text})" if text else ""
    if code in _connack_refused:
        return Refused(Reason.BROKER_REFUSED, f"the broker at {at} {_connack_refused[code]}{own}")
    if code in _overloaded:
        return Overloaded(Reason.BROKER_REFUSED, f"the broker at {at} is too busy for us (code {code:#04x}){own}")
    return Outage(Reason.BROKER_REFUSED, f"the broker at {at} refused our CONNECT (code {code:#04x}){own}")


def disconnect(code: int, text: str, at: str) -> Outage:
    """Return the error for a DISCONNECT of the broker."""
    own = f" (it says: {text})" if text else ""
    if code == 0x8E:
        return Refused(
            Reason.TAKEN_OVER,
            f"another client took our place at the broker at {at} with our client id: give each box an id of its own "
            f"(box.id or mqtt.client_id); two boxes with one id throw each other out for ever{own}",
        )
    if code in _disconnect_refused:
        return Refused(Reason.BROKER_REFUSED, f"the broker at {at} {_disconnect_refused[code]}{own}")
    kind = Overloaded if code in _overloaded else Outage
    return kind(Reason.BROKER_LOST, f"the broker at {at} ended the connection (code {code:#04x}){own}")


def closed_at_connect(at: str) -> Outage:
    """Return the error for a connection that was closed where CONNACK was due."""
    return Outage(
        Reason.BROKER_REFUSED,
        f"the broker at {at} closed the connection instead of answering CONNECT: is it an MQTT port, does it want TLS "
        "(mqtts://), and does it speak the version in mqtt.protocol?",
    )


def not_mqtt(at: str, version: str) -> Outage:
    """Return the error for an answer that MQTT does not allow; a broker that refuses MQTT 3.1.1 looks the same."""
    return Outage(
        Reason.BROKER_LOST,
        f"the answer of {at} is not MQTT {version}: does mqtt.url name the broker's MQTT port, and does the broker "
        "speak the version in mqtt.protocol?",
    )


def silent(at: str, seconds: float) -> Outage:
    """Return the error for a connection that did not come about in time."""
    return Outage(
        Reason.BROKER_UNREACHABLE,
        f"no answer from the broker at {at} within {seconds:g} s: is it up, and does a firewall let us through?",
    )


def is_closing(error: OSError | None) -> bool:
    """Decide whether no more is known than that the other side closed the connection."""
    return error is None or isinstance(error, ConnectionError | ssl.SSLEOFError)


def lost(at: str, error: OSError | None) -> Outage:
    """Return the error for a connection that stood and broke."""
    if isinstance(error, ssl.SSLError) and not is_closing(error):
        return tls(error, at)
    if error is not None:
        return Outage(Reason.BROKER_LOST, f"the connection to the broker at {at} broke: {error.strerror or error}")
    return Outage(
        Reason.BROKER_LOST,
        f"the broker at {at} closed the connection without a word; a second client with our client id looks like this "
        "too, where the broker does not tell (MQTT 3.1.1, and older Mosquittos)",
    )


def unanswered(at: str, seconds: float) -> Outage:
    """Return the error for a connection that stands, and through which nothing comes back."""
    return Outage(Reason.BROKER_LOST, f"the broker at {at} did not answer for {seconds:g} s")


def unreachable(error: OSError, at: str, seconds: float) -> Outage:
    """Return the error for a connection that did not come about within `seconds`: DNS, TCP or TLS."""
    match error:
        case ssl.SSLError():
            return tls(error, at)
        case socket.gaierror():
            why = f"the host name in {at} cannot be found ({error.strerror}): check mqtt.url and this box's DNS"
        case TimeoutError():
            return silent(at, seconds)
        case ConnectionRefusedError():
            why = f"nothing listens at {at}: is the broker running, and is the port in mqtt.url right?"
        case ConnectionResetError() | BrokenPipeError():
            why = (
                f"the broker at {at} ended the connection before a word was said: with mqtts:// in mqtt.url it must be "
                "its TLS port (often 8883), a plain one takes mqtt://"
            )
        case _:
            why = f"no connection to the broker at {at}: {error.strerror or error}"
    return Outage(Reason.BROKER_UNREACHABLE, why)


def tls(error: ssl.SSLError, at: str) -> Outage:
    """Return the error for TLS that did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, at)
    name = getattr(error, "reason", None) or ""
    sentence = next((text for end, text in _alerts.items() if name.endswith(end)), None)
    if sentence is None:
        return Outage(Reason.TLS_FAILED, f"TLS with the broker at {at} failed: {name or error}")
    return Refused(Reason.TLS_FAILED, f"the broker at {at} {sentence}")


def _certificate(error: ssl.SSLCertVerificationError, at: str) -> Outage:
    if error.verify_code == _NOT_YET_VALID:
        # A box without a battery clock starts in the past: this one passes by itself.
        return Outage(Reason.TLS_FAILED, f"the certificate of the broker at {at} is not valid yet: is the clock set?")
    sentence = _certificates.get(error.verify_code, f"has a certificate that is not accepted: {error.verify_message}")
    return Refused(Reason.TLS_FAILED, f"the broker at {at} {sentence}")
