"""Let a bright picture and a tone begin at the same moment, every 4 s: flash.py SECONDS."""

import fcntl
import math
import os
import struct
import subprocess
import sys
import time

CAMERA = "/dev/video0"
BUFFER_S = 0.3
"""Of sound that waits to be played: an emulator stands still now and then."""
SOUND = f"hw:CARD=Loopback,DEV=0 -f S16_LE -r 48000 -c 2 --buffer-time={BUFFER_S * 1e6:.0f} --period-time=20000"
RATE, STEP = 48_000, 960
S_CTRL, BRIGHTNESS, BRIGHT, DARK = 0xC008561C, 0x00980900, 255, 60
SET_PIPE_SIZE, PIPE = 1031, 4096
"""So that no more sound waits in the pipe than need be."""


def play() -> subprocess.Popen:
    """Start a player that takes samples from its stdin."""
    player = subprocess.Popen(["aplay", "-q", "-t", "raw", "-D", *SOUND.split()], stdin=subprocess.PIPE, bufsize=0)
    fcntl.fcntl(player.stdin, SET_PIPE_SIZE, PIPE)
    return player


def is_on(seconds: float) -> bool:
    """Whether it is bright, and loud."""
    return seconds % 4 >= 3.2


quiet = bytes(STEP * 4)
tone = b"".join(struct.pack("<hh", *[int(14_000 * math.sin(2 * math.pi * 1000 * n / RATE))] * 2) for n in range(STEP))
camera, player = os.open(CAMERA, os.O_RDWR | os.O_NONBLOCK), play()
begun, was = time.monotonic(), None
while (now := time.monotonic() - begun) < float(sys.argv[1]):
    if (bright := is_on(now - BUFFER_S)) != was:  # when what is written now will be heard
        fcntl.ioctl(camera, S_CTRL, struct.pack("=Ii", BRIGHTNESS, BRIGHT if bright else DARK))
        was = bright
    try:
        player.stdin.write(tone if is_on(now) else quiet)
    except BrokenPipeError:  # the card's other end was opened anew, which ends what plays
        player = play()
player.kill()
