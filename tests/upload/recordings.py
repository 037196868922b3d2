"""Recordings as people have them, made by FFmpeg when a test asks for them, and kept below `.cache/recordings`."""

import fcntl
import hashlib
import struct
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "recordings"
VIDEO = "-f lavfi -i testsrc2=s=320x180:r=15:d={0}"
TONE = "-f lavfi -i sine=d={0}"
H264 = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p"
MEETING = (
    f"{VIDEO} {TONE} {H264} -g 30 -c:a aac -metadata creation_time=2026-11-20T09:30:00Z -metadata location=+52.5+13.4/"
)

RECORDINGS = {
    "meeting.mp4": MEETING.format(8),
    "talk.mp3": f"{TONE.format(8)} -c:a libmp3lame -b:a 64k",
    "screen.mkv": f"{VIDEO.format(8)} {TONE.format(8)} -c:v libx264 -preset ultrafast -pix_fmt yuv444p -c:a libvorbis",
    "old.avi": f"{VIDEO.format(8)} {TONE.format(8)} -c:v mpeg4 -c:a libmp3lame",
    "silent.mp4": f"{VIDEO.format(8)} {H264}",
    "tracks.mkv": f"{VIDEO.format(8)} {' '.join([TONE.format(8)] * 3)} -map 0 -map 1 -map 2 -map 3 {H264} -c:a aac",
    "short.mp4": MEETING.format(2),
    "rates.mp4": "-f lavfi -i testsrc2=s=320x180:r=15:d=6,setpts='if(lt(N,40),N/15,2.6+(N-40)/5)/TB' "
    f"{TONE.format(12)} -fps_mode vfr {H264} -c:a aac",
    "camera.ts": "-i {meeting.mp4} -c copy",
    "browser.webm": "-i {meeting.mp4} -c:v libvpx -deadline realtime -c:a libopus",
    "late.mkv": "-itsoffset 3 -i {meeting.mp4} -i {meeting.mp4} -map 0:v -map 1:a -c copy",
    "long.mp4": "-f lavfi -i color=s=160x90:r=2:d=2400 -f lavfi -i anullsrc=r=8000 -shortest "
    "-c:v libx264 -preset ultrafast -g 20 -pix_fmt yuv420p -c:a aac -b:a 8k",
    "music.mp3": f"{TONE.format(8)} -f lavfi -i color=s=64x64:d=1 -map 0 -map 1 -c:a libmp3lame -c:v mjpeg "
    "-frames:v 1 -disposition:v attached_pic",
    "huge.mp4": f"-f lavfi -i testsrc2=s=320x180:r=15:d=8,noise=alls=100:allf=t {TONE.format(8)} "
    "-c:v libx264 -preset ultrafast -qp 1 -pix_fmt yuv420p -c:a aac",
}
"""FFmpeg's arguments, by the name of the file."""
CUT = {"cut.mkv": "screen.mkv", "cut.mp4": "meeting.mp4"}
"""Files whose second half is missing, and of which."""
JOINED = {"joined.ts": "camera.ts"}
"""Files that are another one twice, byte by byte."""
TURNED = {"portrait.mp4": "meeting.mp4"}
"""Files that are to be shown turned, as a phone is held. FFmpeg's option for it has another name in each version."""
UPRIGHT, CLOCKWISE = (
    struct.pack(">9i", *(1 << 16, 0, 0, 0, 1 << 16, 0), 0, 0, 1 << 30),
    struct.pack(">9i", *(0, 1 << 16, 0, -1 << 16, 0, 0), 0, 0, 1 << 30),
)
"""Matrices of a `tkhd` (ISO/IEC 14496-12, 6.2.2)."""


def recording(name: str) -> Path:
    """Return the path of a recording of `RECORDINGS`, `CUT`, `JOINED` or `TURNED`."""
    made = RECORDINGS[(CUT | JOINED | TURNED).get(name, name)]
    folder = CACHE / hashlib.sha256(made.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        draft = path.with_name(f"draft.{name}")
        if name in CUT:
            whole = recording(CUT[name]).read_bytes()
            draft.write_bytes(whole[: len(whole) // 2])
        elif name in JOINED:
            draft.write_bytes(2 * recording(JOINED[name]).read_bytes())
        elif name in TURNED:
            head, track, rest = recording(TURNED[name]).read_bytes().partition(b"tkhd")  # of the video, which is first
            draft.write_bytes(head + track + rest.replace(UPRIGHT, CLOCKWISE, 1))
        else:
            subprocess.run(["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *words(made), str(draft)], check=True)
        draft.rename(path)
    return path


def words(made: str) -> list[str]:
    """FFmpeg's arguments, another recording put in by its name in braces."""
    return [str(recording(word[1:-1])) if word.startswith("{") else word for word in made.split()]
