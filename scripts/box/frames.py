"""Make the video of guest/uvcam.py: frames.py FILE. FFmpeg's test picture, as YUYV and as MJPEG."""

import pickle
import sys
from fractions import Fraction
from pathlib import Path

import av

SIZES = ((640, 360), (1280, 720))
RAW, JPEG = 1, 2
"""The numbers of the two formats in the camera's descriptors."""


def jpeg(frame: av.VideoFrame) -> bytes:
    """Return one frame of MJPEG."""
    encoder = av.codec.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base, encoder.options = Fraction(1, 10), {"q": "6"}
    picture = frame.reformat(format="yuvj420p")
    picture.pts = None
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def main(target: Path) -> None:
    """Write a pickle: (format, width, height) to a list of frames."""
    made = {}
    for width, height in SIZES:
        source = av.open(f"testsrc2=size={width}x{height}:rate=10:duration=1", format="lavfi")
        frames = list(source.decode(video=0))
        raw = [bytes(frame.reformat(format="yuyv422").planes[0])[: width * height * 2] for frame in frames[:3]]
        made[RAW, width, height] = raw
        made[JPEG, width, height] = [jpeg(frame) for frame in frames]
    target.write_bytes(pickle.dumps(made))


main(Path(sys.argv[1]))
