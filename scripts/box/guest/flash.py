"""Let a bright picture and a tone begin at the same moment, every 4 s: flash.py SECONDS."""

import fcntl
import math
import os
import struct
import subprocess
import sys
import time

CAMERA = "/dev/video0"
SOUND = "hw:CARD=Loopback,DEV=0 -f S16_LE -r 48000 -c 2 --buffer-time=100000 --period-time=20000"
RATE, STEP = 48_000, 960
S_CTRL, BRIGHTNESS, BRIGHT, DARK = 0xC008561C, 0x00980900, 255, 60
SET_PIPE_SIZE, PIPE = 1031, 4096
"""So that no more sound waits in the pipe than need be."""

quiet = bytes(STEP * 4)
tone = b"".join(struct.pack("<hh", *[int(14_000 * math.sin(2 * math.pi * 1000 * n / RATE))] * 2) for n in range(STEP))
camera = os.open(CAMERA, os.O_RDWR | os.O_NONBLOCK)
with subprocess.Popen(["aplay", "-q", "-t", "raw", "-D", *SOUND.split()], stdin=subprocess.PIPE, bufsize=0) as player:
    fcntl.fcntl(player.stdin, SET_PIPE_SIZE, PIPE)
    begun, was = time.monotonic(), None
    while (now := time.monotonic() - begun) < float(sys.argv[1]):
        if (on := now % 4 >= 3.2) != was:
            fcntl.ioctl(camera, S_CTRL, struct.pack("=Ii", BRIGHTNESS, BRIGHT if on else DARK))
            was = on
        player.stdin.write(tone if on else quiet)
