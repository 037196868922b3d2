"""The packets of a feed with their arrivals, by the clock that the feed has: a file's, a camera's, or samples."""

import time
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.stream import Stream

from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.file_player import play
from interhuman2mqtt.capture.preroll import ArrivedPacket

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

PARSED = ("h264", "hevc")
"""Codecs that RTP carries in pieces whose last one FFmpeg does not look for."""


def read_packets(feed: Feed) -> Iterator[ArrivedPacket]:
    """Return the packets of a feed with their arrival on CLOCK_MONOTONIC; a file's in real time, again and again."""
    streams = [feed.container.streams[index] for index in (feed.video, feed.audio) if index is not None]
    if feed.clock == "samples":
        yield from _counted_packets(feed, streams)
    elif feed.clock == "camera":
        yield from _camera_packets(feed, streams)
    elif feed.paced:
        yield from play(feed)
    else:
        yield from (arrived for arrived in _demuxed(feed, streams) if arrived.packet.size)


def _demuxed(feed: Feed, streams: list[Stream]) -> Iterator[ArrivedPacket]:
    """Return all packets of the streams: first those that were read when the source was opened."""
    used = {stream.index for stream in streams}
    while feed.already_read:
        arrived = feed.already_read.popleft()
        if arrived.packet.stream_index in used:
            yield arrived
    for packet in feed.container.demux(streams):
        yield ArrivedPacket(packet, time.monotonic())


def _camera_packets(feed: Feed, streams: list[Stream]) -> Iterator[ArrivedPacket]:
    """Return the packets of a camera, a frame of H.264 as arriving when FFmpeg returned the one before it.

    FFmpeg returns a frame only when the next one begins. At one frame a second it is a whole second late.
    """
    is_held_back = any(stream.type == "video" and stream.codec_context.name in PARSED for stream in streams)
    begun: float | None = None
    for packet, at in _demuxed(feed, streams):
        if packet.size and packet.stream_index == feed.video and is_held_back:
            yield ArrivedPacket(packet, at if begun is None else begun)
            begun = at
        elif packet.size:
            yield ArrivedPacket(packet, at)


def _counted_packets(feed: Feed, streams: list[Stream]) -> Iterator[ArrivedPacket]:
    """Return audio dated by its samples, whatever its stamps; a packet's first sample came when the packet before did.

    A sound card's stamps are of the wall clock, which is set now and then. Its samples are as steady as its crystal.
    """
    context = cast("AudioStream", streams[0]).codec_context
    frame = context.channels * context.format.bytes
    count = 0
    for packet in feed.container.demux(streams):
        if packet.size:
            arrival = time.monotonic()
            packet.pts = packet.dts = round(Fraction(count, context.sample_rate) / packet.time_base)
            count += packet.size // frame
            yield ArrivedPacket(packet, arrival - packet.size // frame / context.sample_rate)
