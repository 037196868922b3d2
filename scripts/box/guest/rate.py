"""Count the frames a second that come from a camera as the capture process opens it: rate.py SOURCE [FORMAT]."""

import itertools
import sys

from interhuman2mqtt import config
from interhuman2mqtt.cameras.capture_task import open_command
from interhuman2mqtt.capture.device import open_source

SECONDS = 6

_, source, form = [*sys.argv, "auto"][:3]
command = open_command(config.CameraConfig(id="usb", name="usb", source=source, format=form, size=(1280, 720)))
feed = open_source(command)
times = []
for packet in feed.container.demux(video=0):
    times.append(float(packet.pts * packet.time_base))
    if times[-1] - times[0] > SECONDS:
        break
longest = max(after - before for before, after in itertools.pairwise(times))
rate = (len(times) - 1) / (times[-1] - times[0])
print(f"{feed.mode}: {rate:.1f} frames a second for {SECONDS} s, longest pause {longest:.2f} s")
sys.exit(rate < feed.mode.fps * 2 / 3)  # in an emulator, beside whatever else this machine does
