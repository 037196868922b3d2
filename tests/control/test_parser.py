"""What may be asked of us, and what is answered to everything else."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.control.parser import RESPONSE_TOPIC_MAX, TRANSACTION_MAX, RequestParser
from interhuman2mqtt.control.requests import (
    COMMANDS,
    Accepted,
    Access,
    Birth,
    ForgetRequest,
    Ignored,
    Ignoring,
    LogLevelRequest,
    PauseRequest,
    PauseSet,
    Reading,
    Rejected,
    ReloadRequest,
    Request,
    RestartRequest,
    ResumeRequest,
    SnapshotRequest,
    done,
    refused,
)
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime.log import register_secret

TREE = "interhuman/lobby-1"
CAMERAS = ("front", "back_door")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READER = RequestParser("interhuman", "lobby-1")


def read(command: str, payload: bytes | str | None = b"", **more: Any) -> Reading:
    """What a request means."""
    raw = payload.encode() if isinstance(payload, str) else payload
    return READER.read(IncomingMessage(f"{TREE}/bridge/request/{command}", raw, **more), CAMERAS)


def read_level(camera: str, payload: bytes | None, *, retained: bool = False) -> Reading:
    """What `pause/set` means."""
    return READER.read(IncomingMessage(f"{TREE}/{camera}/pause/set", payload, retained), CAMERAS)


def request(reading: object) -> Request:
    """What is to be handled."""
    assert isinstance(reading, Accepted)
    return reading.request


def error(reading: object) -> str:
    """Why it is not to be handled, as the answer says it."""
    assert isinstance(reading, Rejected)
    said = json.loads(reading.answer.payload)
    assert (said["status"], said["data"], said["error"]) == ("error", None, reading.detail)
    return reading.detail


@pytest.mark.parametrize(
    ("command", "payload", "wanted"),
    [
        ("pause", '{"camera": "front"}', PauseRequest("front")),
        ("pause", "", PauseRequest(None)),
        ("pause", "  \n", PauseRequest(None)),
        ("pause", "{}", PauseRequest(None)),
        ("resume", '{"camera": "back_door", "transaction": 7}', ResumeRequest("back_door")),
        ("restart", '{"camera": "front"}', RestartRequest("front")),
        ("reload", "", ReloadRequest()),
        ("snapshot", '{"camera": "front"}', SnapshotRequest("front")),
        ("snapshot", '{"camera": "front", "retain": true}', SnapshotRequest("front", retain=True)),
        ("forget", '{"camera": "front"}', ForgetRequest("front")),
        ("forget", '{"camera": "front", "until": "1970-01-01T00:00:00Z"}', ForgetRequest("front", None, EPOCH)),
        ("log_level", '{"level": "debug"}', LogLevelRequest("debug")),
    ],
)
def test_what_can_be_asked(command: str, payload: str, wanted: Request) -> None:
    """Each request of the contract is read as what it says; without a camera, or without a payload, it means all."""
    assert request(read(command, payload)) == wanted


@pytest.mark.parametrize(
    ("command", "payload", "says"),
    [
        ("puase", "", 'there is no request "puase"; did you mean "pause"?'),
        ("Pause", "", 'there is no request "Pause"; did you mean "pause"?'),
        ("", "", 'there is no request ""'),
        ("pause", '{"camera": "frunt"}', 'there is no camera "frunt" on this box; did you mean "front"?'),
        ("pause", '{"camera": ""}', 'there is no camera "" on this box'),
        ("pause", '{"camera": null}', "camera must be a string; leave it out for all cameras"),
        ("pause", '{"camera": ["front"]}', "camera must be a string; leave it out for all cameras"),
        ("pause", '{"camera": true}', "camera must be a string; leave it out for all cameras"),
        ("pause", '{"cam": "front"}', 'pause takes no "cam", only camera and transaction'),
        ("pause", '{"camra": "front"}', 'pause takes no "camra", only camera and transaction; did you mean "camera"?'),
        ("reload", '{"camera": "front"}', 'reload takes no "camera", only transaction'),
        ("forget", "", "forget takes one camera: name it"),
        ("forget", '{"camera": "front", "since": "2026-11-28T10:00:00"}', "since must be a time with its offset"),
        ("forget", '{"camera": "front", "since": 3}', "since must be a time with its offset"),
        (
            "forget",
            '{"camera": "front", "since": "1970-01-01T00:00:00Z", "until": "1970-01-01T00:00:00Z"}',
            "since must be before until",
        ),
        ("log_level", "", "level must be one of debug, info, warning, error"),
        ("log_level", '{"level": "warn"}', 'level must be one of debug, info, warning, error; did you mean "warning"?'),
        ("log_level", '{"level": 10}', "level must be one of debug, info, warning, error"),
        ("pause", "front", "the payload is not JSON"),
        ("pause", '"front"', 'the payload must be a JSON object, such as {"camera": "front"}, or empty'),
        ("pause", "[]", "the payload must be a JSON object"),
        ("pause", "{", "the payload is not JSON"),
        ("pause", '{"camera": NaN}', "the payload is not JSON"),
        ("pause", '{"camera": 1e400}', "the payload is not JSON"),
        ("pause", '{"camera": "\\ud800"}', "the payload is not JSON"),
        ("pause", b'{"camera": "\xff"}', "the payload is not JSON"),
        ("pause", b"\xef\xbb\xbf{}", "the payload is not JSON"),
        ("pause", b"\x00", "the payload is not JSON"),
        ("pause", "[" * 60_000, "the payload is nested too deeply"),
        ("pause", '{"a":' * 10_000, "the payload is nested too deeply"),
        ("pause", None, "the payload has more than 65536 bytes"),
        ("pause", '{"transaction": {"a": 1}}', "transaction must be a string, a number, true, false or null"),
        ("pause", '{"transaction": [1]}', "transaction must be a string, a number, true, false or null"),
        ("pause", f'{{"transaction": "{"x" * TRANSACTION_MAX}"}}', "transaction must have at most 1024 bytes"),
        ("pause", f'{{"transaction": {"9" * 5000}}}', "the payload is not JSON"),
    ],
)
def test_what_is_refused(command: str, payload: bytes | str | None, says: str) -> None:
    """Everything else is refused with a sentence that says what is wrong, and what was probably meant."""
    assert error(read(command, payload)).startswith(says)


@pytest.mark.parametrize("transaction", ["a-1", "", "a\nb \u2028 \u00e9", 0, -1, 1.5, 10**30, True, False, None])
def test_a_transaction_comes_back(transaction: object) -> None:
    """The answer carries the transaction as it came, whatever else the answer is; without one there is none."""
    sent = json.dumps({"transaction": transaction})
    good, bad = read("reload", sent), read("nonsense", sent)
    assert isinstance(good, Accepted)
    assert isinstance(bad, Rejected)
    for answer in (done(good.reply), refused(good.reply, "no"), bad.answer):
        assert json.loads(answer.payload)["transaction"] == transaction
    assert "transaction" not in json.loads(done(_asked(read("reload")).reply).payload)


def _asked(reading: object) -> Accepted:
    assert isinstance(reading, Accepted)
    return reading


def test_an_answer_goes_to_the_topic_of_its_request() -> None:
    """Without a response topic the answer goes to bridge/response/<command>: QoS 1, not retained, in its place."""
    answer = done(_asked(read("pause")).reply, {"changed": ["front"]})
    assert (answer.topic, answer.kind, answer.retain, answer.correlation) == (
        f"{TREE}/bridge/response/pause",
        MessageKind.ANSWER,
        False,
        None,
    )
    assert answer.properties == (("schema", "1"), ("type", "response.pause"))
    assert json.loads(answer.payload) == {"status": "ok", "error": None, "data": {"changed": ["front"]}}


def test_an_answer_goes_where_mqtt_5_says() -> None:
    """Response topic and correlation data are honoured in good answers and in bad ones."""
    for payload in ("", "nonsense"):
        reading = read("reload", payload, response_topic="tools/42/replies", correlation=b"\x00\xff")
        answer = reading.answer if isinstance(reading, Rejected) else done(_asked(reading).reply)
        assert (answer.topic, answer.correlation) == ("tools/42/replies", b"\x00\xff")


def test_correlation_data_needs_no_response_topic() -> None:
    """Correlation data alone comes back on bridge/response/<command>."""
    answer = done(_asked(read("reload", correlation=b"7")).reply)
    assert (answer.topic, answer.correlation) == (f"{TREE}/bridge/response/reload", b"7")


@pytest.mark.parametrize("topic", [f"{TREE}/bridge/response/mine", "interhuman/lobby-10/x", "interhuman", "a//b c"])
def test_response_topics_that_can_be_used(topic: str) -> None:
    """Below bridge/response, and anywhere outside of this box's tree."""
    assert _asked(read("reload", response_topic=topic)).reply.topic == topic


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "a/+",
        "a/#",
        "#",
        "$SYS/broker",
        "$share/g/t",
        "a\x00b",
        "a\x01b",
        "a\ufeffb",
        "a\ufffeb",
        "/" * (RESPONSE_TOPIC_MAX + 1),
        TREE,
        f"{TREE}/",
        f"{TREE}/bridge/response",
        f"{TREE}/bridge/state",
        f"{TREE}/bridge/request/reload",
        f"{TREE}/front/status",
        f"{TREE}/front/pause/set",
    ],
)
def test_response_topics_that_cannot_be_used(topic: str) -> None:
    """Wildcards, `$` topics, our own tree and what a broker would end the connection for: told by default's topic."""
    reading = read("reload", response_topic=topic, correlation=b"7")
    assert error(reading).startswith("the response topic cannot be used")
    assert isinstance(reading, Rejected)
    assert (reading.answer.topic, reading.answer.correlation) == (f"{TREE}/bridge/response/reload", b"7")


def test_retained_requests_are_ignored() -> None:
    """A request out of the broker's store is not handled and not answered."""
    reading = read("restart", retained=True, response_topic="tools/1")
    assert isinstance(reading, Ignored)
    assert reading.why is Ignoring.RETAINED


@pytest.mark.parametrize("payload", [b"ON", b"on", b" On\r\n", b"oN "])
@pytest.mark.parametrize("retained", [True, False])
def test_a_level_that_pauses(payload: bytes, retained: bool) -> None:  # noqa: FBT001 - pytest's own way
    """`pause/set` reads ON in any case, blanks around it ignored, retained or not."""
    assert read_level("front", payload, retained=retained) == PauseSet("front", on=True, retained=retained)


def test_a_level_that_resumes() -> None:
    """`pause/set` reads OFF likewise, and tells whether it is only repeated by the broker."""
    assert read_level("back_door", b"off\n") == PauseSet("back_door", on=False, retained=False)
    assert read_level("back_door", b"OFF", retained=True) == PauseSet("back_door", on=False, retained=True)


@pytest.mark.parametrize(
    ("camera", "payload", "why"),
    [
        ("front", b"1", Ignoring.ODD),
        ("front", b"true", Ignoring.ODD),
        ("front", b"\xff", Ignoring.ODD),
        ("front", None, Ignoring.ODD),
        ("front", b"", Ignoring.CLEARED),
        ("frunt", b"ON", Ignoring.ODD),
        ("bridge", b"ON", Ignoring.ODD),
        ("", b"ON", Ignoring.ODD),
    ],
)
def test_a_level_that_means_nothing(camera: str, payload: bytes | None, why: Ignoring) -> None:
    """Other words, and cameras that do not exist, are oddities; an empty payload only clears what was retained."""
    reading = read_level(camera, payload)
    assert isinstance(reading, Ignored)
    assert reading.why is why


def test_read_only_changes_nothing_and_shows_nobody() -> None:
    """With `mqtt.requests = "read-only"` every request of today is refused, and the levels are not listened to."""
    reader = RequestParser("interhuman", "lobby-1", "read-only")
    payloads = {"log_level": b'{"level": "info"}', "forget": b'{"camera": "front"}'}
    obeyed = [
        command
        for command in COMMANDS
        if isinstance(
            reader.read(IncomingMessage(f"{TREE}/bridge/request/{command}", payloads.get(command, b"")), CAMERAS),
            Accepted,
        )
    ]
    assert obeyed == []
    assert reader.filters == (f"{TREE}/bridge/request/+",)


def test_what_is_subscribed_to() -> None:
    """All: requests and levels; off: nothing."""
    assert READER.filters == (f"{TREE}/+/pause/set", f"{TREE}/bridge/request/+")
    assert RequestParser("interhuman", "lobby-1", "off").filters == ()


@pytest.mark.parametrize("access", ["all", "read-only", "off"])
def test_the_birth_of_home_assistant(access: Access) -> None:
    """Whatever else may be asked, a birth that is said just now is news; its end, or one that is retained, is none."""
    reader = RequestParser("interhuman", "lobby-1", access, "homeassistant/status")
    assert reader.filters[-1] == "homeassistant/status"
    for payload, retained, news in [(b"online", False, True), (b"online", True, False), (b"offline", False, False)]:
        assert reader.read(IncomingMessage("homeassistant/status", payload, retained), CAMERAS) == Birth(news)


def test_no_secret_in_an_answer() -> None:
    """What a sentence or the data of an answer might quote is redacted."""
    register_secret("hunter22")
    reply = _asked(read("reload")).reply
    for answer in (refused(reply, "wrong: hunter22"), done(reply, {"detail": "it is hunter22"})):
        assert b"hunter22" not in answer.payload


ANY_TOPIC = st.one_of(
    st.text(max_size=40),
    st.builds(f"{TREE}/bridge/request/{{}}".format, st.one_of(st.sampled_from([*COMMANDS]), st.text(max_size=40))),
    st.builds(f"{TREE}/{{}}/pause/set".format, st.one_of(st.sampled_from(CAMERAS), st.text(max_size=20))),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["camera", "level", "transaction", "x"]), st.sampled_from([*CAMERAS, "debug"]) | ANY_JSON
)
ANY_PAYLOAD = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.sampled_from([b"ON", b"OFF", b"off ", b"{}"]),
    st.one_of(ANY_JSON, FIELDS).map(lambda value: json.dumps(value).encode()),
    st.one_of(ANY_JSON, FIELDS).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")),
)


@given(
    st.builds(
        IncomingMessage,
        topic=ANY_TOPIC,
        payload=ANY_PAYLOAD,
        retained=st.booleans(),
        response_topic=st.one_of(st.none(), st.just(f"{TREE}/bridge/response/x"), st.text(max_size=250)),
        correlation=st.one_of(st.none(), st.binary(max_size=40)),
    )
)
def test_whatever_comes_is_read(incoming: IncomingMessage) -> None:
    """Any topic and any payload is handled, refused by a good answer, or ignored with a sentence; nothing raises."""
    reading = READER.read(incoming, CAMERAS)
    match reading:
        case Accepted(reply=reply):
            _assert_good(done(reply), incoming, "ok")
        case Rejected(answer=answer):
            _assert_good(answer, incoming, "error")
        case PauseSet(camera=camera):
            assert camera in CAMERAS
        case Ignored(detail=detail):
            assert detail.isprintable()
            assert len(detail) < 400


def _assert_good(answer: Message, incoming: IncomingMessage, status: str) -> None:
    said = msgspec.json.decode(answer.payload)
    assert said["status"] == status
    assert bool(said["error"]) == (status == "error")
    assert set(said) <= {"status", "error", "data", "transaction"}
    assert len(answer.payload) < TRANSACTION_MAX + 1000
    assert answer.correlation == incoming.correlation
    assert answer.topic == incoming.response_topic or answer.topic.startswith(f"{TREE}/bridge/response/")
    assert answer.topic.isprintable()
    assert not set(answer.topic) & {"+", "#"}
    assert not answer.retain
