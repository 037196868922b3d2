"""Where the broker is, what we ask of it, what it grants, and what its refusals mean."""

import socket
import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import ConfigError, Outage, Overloaded, Reason, Refused
from interhuman2mqtt.publish.mqtt import reason_codes
from interhuman2mqtt.publish.mqtt.connect import Endpoint, Offer
from interhuman2mqtt.publish.mqtt.tls import tls_context
from interhuman2mqtt.publish.mqtt.types import PACKET_MAX, BrokerLimits

AT = "broker:1883"


@pytest.mark.parametrize(
    ("url", "expected", "text"),
    [
        ("mqtt://localhost", ("localhost", 1883, False), "localhost:1883"),
        ("mqtts://broker.example", ("broker.example", 8883, True), "broker.example:8883"),
        ("mqtts://10.0.0.1:1884", ("10.0.0.1", 1884, True), "10.0.0.1:1884"),
        ("mqtt://[::1]:1885", ("::1", 1885, False), "[::1]:1885"),
    ],
)
def test_an_url_names_host_port_and_tls(url: str, expected: tuple[str, int, bool], text: str) -> None:
    """The default port is the scheme's own, and an endpoint prints as people write it."""
    assert Endpoint.of(url) == expected
    assert str(Endpoint.of(url)) == text


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "localhost:1883", "mqtt://x:99999", "mqtt://[::1"])
def test_an_url_that_names_no_broker_is_an_error_of_the_configuration(url: str) -> None:
    """A wrong scheme, a missing host, an impossible port: ConfigError, which names the key."""
    with pytest.raises(ConfigError, match=r"mqtt\.url"):
        Endpoint.of(url)


def test_auto_falls_back_to_the_older_protocol_once() -> None:
    """Auto asks for MQTT 5, after `unsupported version` or a silent close for 3.1.1, and after that for nothing."""
    for refusal in (reason_codes.UNSUPPORTED_VERSION, None):
        second = Offer.of("auto").after(refusal)
        assert second is not None
        assert second.version == 4
        assert second.after(refusal) is None


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_chosen_protocol_is_kept(protocol: str) -> None:
    """A protocol that was configured by name is not exchanged for another."""
    assert Offer.of(protocol).version == (5 if protocol == "5" else 4)
    assert Offer.of(protocol).after(reason_codes.UNSUPPORTED_VERSION) is None


def test_a_will_gives_in_to_what_the_broker_lacks() -> None:
    """A broker without retained messages, or without QoS 1, gets a will without; a second refusal is final."""
    modest = Offer.of("5").after(reason_codes.RETAIN_NOT_SUPPORTED)
    assert modest == Offer(will_retain=False)
    assert modest.after(reason_codes.RETAIN_NOT_SUPPORTED) is None
    modest = modest.after(reason_codes.QOS_NOT_SUPPORTED)
    assert modest == Offer(will_retain=False, will_qos=0)
    assert modest.after(reason_codes.QOS_NOT_SUPPORTED) is None
    assert Offer.of("auto").after(0x87) is None


@given(st.integers(0, PACKET_MAX + 2), st.integers(2, PACKET_MAX + 9))
def test_a_packet_is_admitted_by_its_whole_size(remaining: int, largest: int) -> None:
    """A packet's size is its first byte, the length of its length, and the rest."""
    length = next(n for n in (1, 2, 3, 4, 5) if remaining < 128**n)
    admitted = remaining <= BrokerLimits(packet_size=largest).remaining_max
    assert admitted == (length <= 4 and 1 + length + remaining <= largest)
    assert BrokerLimits().remaining_max == PACKET_MAX


@pytest.mark.parametrize("code", range(0x80, 0xA3))
def test_every_refusal_of_connect_is_a_sentence(code: int) -> None:
    """Whatever code a CONNACK carries, the error names the broker, and quotes its own reason."""
    error = reason_codes.connack(code, "go away", AT)
    assert error.reason is Reason.BROKER_REFUSED
    assert AT in error.detail
    assert "go away" in error.detail


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (0x84, Refused, "mqtt.protocol"),
        (0x85, Refused, "mqtt.client_id"),
        (0x86, Refused, "mqtt.password"),
        (0x87, Refused, "mqtt.username"),
        (0x88, Outage, "0x88"),
        (0x97, Overloaded, "busy"),
    ],
)
def test_a_refusal_of_connect_has_its_policy(code: int, kind: type[Outage], says: str) -> None:
    """What a person must mend is Refused, what asks for less is Overloaded, what passes by itself is an Outage."""
    error = reason_codes.connack(code, "", AT)
    assert type(error) is kind
    assert says in error.detail


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (0x8E, Refused, Reason.TAKEN_OVER),
        (0x8B, Outage, Reason.BROKER_LOST),
        (0x97, Overloaded, Reason.BROKER_LOST),
        (0x98, Refused, Reason.BROKER_REFUSED),
    ],
)
def test_a_disconnect_has_its_policy(code: int, kind: type[Outage], reason: Reason) -> None:
    """A DISCONNECT of the broker's says by its code what happened."""
    error = reason_codes.disconnect(code, "bye", AT)
    assert (type(error), error.reason) == (kind, reason)
    assert "bye" in error.detail


def test_the_ways_of_not_reaching_a_broker_are_told_apart() -> None:
    """DNS, nobody listening, no answer and anything else each have a sentence of their own."""
    errors = [
        reason_codes.unreachable(error, AT, 10)
        for error in (
            socket.gaierror(-2, "Name or service not known"),
            ConnectionRefusedError(111, "Connection refused"),
            TimeoutError("timed out"),
            OSError(113, "No route to host"),
            OSError("odd"),
        )
    ]
    assert len({error.detail for error in errors}) == 5
    for error in errors:
        assert (type(error), error.reason) == (Outage, Reason.BROKER_UNREACHABLE)
        assert AT in error.detail


def certificate_error(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def test_a_certificate_that_is_not_valid_yet_passes_by_itself() -> None:
    """A box whose clock was not set yet tries again soon; other certificates need a person."""
    assert type(reason_codes.tls(certificate_error(9), AT)) is Outage
    assert type(reason_codes.tls(certificate_error(10), AT)) is Refused
    assert "unhandled critical" in reason_codes.tls(certificate_error(34, "unhandled critical extension"), AT).detail


def test_an_unknown_tls_failure_is_named() -> None:
    """A TLS error that no table knows is quoted."""
    error = reason_codes.tls(ssl.SSLError(1, "[SSL] odd thing"), AT)
    assert (type(error), error.reason) == (Outage, Reason.TLS_FAILED)
    assert "odd thing" in error.detail


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A missing CA file, one that holds no certificate, and a key with a pass phrase: Refused, with the path."""
    junk = tmp_path / "junk.pem"
    junk.write_text("nothing")
    for name in (str(tmp_path / "missing.pem"), str(junk)):
        with pytest.raises(Refused, match=r"mqtt\.ca_file") as caught:
            tls_context(Mqtt(client_id="x", ca_file=name))
        assert name in caught.value.detail
    with pytest.raises(Refused, match=r"mqtt\.cert_file") as caught:
        tls_context(Mqtt(client_id="x", cert_file=str(junk)))
    assert str(junk) in caught.value.detail
    with pytest.raises(Refused, match=r"mqtt\.key_file"):
        tls_context(Mqtt(client_id="x", cert_file=str(junk), key_file=str(junk)))


def test_an_encrypted_key_is_an_error_not_a_question(tmp_path: Path) -> None:
    """A key file with a pass phrase fails instead of asking for it on a terminal that nobody reads."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    leaf = trustme.CA().issue_cert("edge")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass phrase"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with pytest.raises(Refused, match=r"mqtt\.key_file"):
        tls_context(Mqtt(client_id="x", cert_file=str(tmp_path / "cert.pem"), key_file=str(tmp_path / "key.pem")))
