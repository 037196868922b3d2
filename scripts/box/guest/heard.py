"""Say what arrived in the cloud, which is to be a tone, and no video: heard.py FILE HERTZ."""

import array
import itertools
import statistics
import sys

import av

path, wanted = sys.argv[1], float(sys.argv[2])
film = av.open(path)
samples = array.array("f")
for frame in film.decode(audio=0):
    samples += array.array("f", bytes(frame.planes[0]))[: frame.samples]
audio, rate = film.streams.audio[0], film.streams.audio[0].rate
rises = [at for at, (before, after) in enumerate(itertools.pairwise(samples)) if before < 0 <= after]
# the median: an emulator plays late now and then, and what it leaves out makes waves of its own
hertz = rate / statistics.median(after - before for before, after in itertools.pairwise(rises))
print(
    f"{len(samples) / rate:.1f} s of {audio.codec_context.name} at {rate} Hz, loudest {max(samples):.2f}, "
    f"{hertz:.0f} Hz, {len(film.streams.video)} tracks of video"
)
sys.exit(not (max(samples) > 0.02 and abs(hertz - wanted) < wanted / 20 and not film.streams.video))
