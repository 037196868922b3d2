"""Whatever packets a broker sends, a connection to it ends in an Outage, or goes on: never in a bug.

Each is a valid packet (MQTT 5, chapter 3) that a seeded generator damaged; the broker hangs up after some of them.
"""

import random
from collections.abc import Sequence

import pytest
import trio

from interhuman2mqtt.errors import Outage
from publish.helpers import Bench, an_event_message, peer
from support.processes import PATIENCE_S


def a_string(chance: random.Random) -> bytes:
    text = chance.choice((b"", b"x", b"go away", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80", b"a" * 300))
    return len(text).to_bytes(2, "big") + text


def some_properties(chance: random.Random) -> bytes:
    """Properties by their ids (2.2.2.2), of which some belong to other packets or to none."""
    made = b""
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        kind = chance.choice((0x1F, 0x26, 0x21, 0x27, 0x24, 0x25, 0x22, 0x13, 0x02, 0x0B, 0x7F))
        value = {
            0x1F: a_string(chance),
            0x26: a_string(chance) + a_string(chance),
            0x21: chance.randbytes(2),
            0x27: chance.randbytes(4),
            0x0B: b"\xff\xff\xff\xff\x7f",
        }
        made += bytes([kind]) + value.get(kind, chance.randbytes(chance.randrange(3)))
    return bytes([len(made) & 0x7F]) + made


def a_body(first: int, chance: random.Random) -> bytes:
    code = chance.choice((0, 0, 0x10, 0x80, 0x87, 0x95, 0x97, chance.randrange(256)))
    mid = chance.choice((1, 1, 2, 3, 0, 65535)).to_bytes(2, "big")
    match first >> 4:
        case 2:
            return bytes([chance.randrange(2), code]) + some_properties(chance)
        case 3:
            return a_string(chance) + (mid if first & 6 else b"") + some_properties(chance) + chance.randbytes(4)
        case 13:
            return b""
        case 14:
            return bytes([code]) + some_properties(chance)
        case _:
            return chance.choice((mid, mid + bytes([code]), mid + bytes([code]) + some_properties(chance)))


def a_packet(chance: random.Random) -> bytes:
    """CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT, or a type that only clients send."""
    first = chance.choice(
        (0x20, 0x30, 0x32, 0x34, 0x3D, 0x40, 0x40, 0x50, 0x62, 0x70, 0x90, 0x90, 0xB0, 0xD0, 0xE0, 0xF0)
    )
    body = a_body(first, chance)
    if chance.random() < 0.2:
        body = body[: chance.randrange(len(body) + 1)]
    if chance.random() < 0.1:
        body += chance.randbytes(5)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([first]) + length + body


def a_conversation(seed: int) -> bytes:
    """What a broker answers to CONNECT, and all that follows."""
    chance = random.Random(seed)
    welcome = b"\x20\x03\x00\x00\x00" if chance.random() < 0.8 else a_packet(chance)
    return welcome + b"".join(a_packet(chance) for _ in range(chance.randrange(8)))


async def bugs_among(seeds: Sequence[int]) -> list[tuple[int, BaseException]]:
    """The seeds whose connections end in anything but an Outage that says why."""
    bugs: list[tuple[int, BaseException]] = []
    left = list(seeds)

    async def broker(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(a_conversation(left[0]))
        with trio.move_on_after(0.005):
            await stream.receive_some()

    async with peer(*[broker] * (4 * len(left))) as url:
        while left:
            bench = Bench(url, mqtt={"protocol": "5"}, timeout=5.0)
            bench.outbox.put(an_event_message("front", 1))
            try:
                with trio.fail_after(PATIENCE_S):
                    await bench.publisher.run_connection()
            except Outage:
                pass
            except (Exception, BaseExceptionGroup) as bug:  # noqa: BLE001 - each of them is a finding
                bugs.append((left[0], bug))
            left.pop(0)
    return bugs


async def test_no_packet_is_a_bug() -> None:
    """A sample of damaged conversations: each ends in an Outage."""
    assert await bugs_among(range(150)) == []


@pytest.mark.full
async def test_tens_of_thousands_of_damaged_conversations() -> None:
    """The same with many more seeds."""
    assert await bugs_among(range(1_000, 21_000)) == []


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..b"])
async def test_a_name_that_dns_cannot_encode(host: str) -> None:
    """A host's name with an empty or too long label is an outage that names it."""
    with pytest.raises(Outage, match=f"no connection to {host}:1: "):
        await Bench(f"mqtt://{host}:1").publisher.run_connection()
