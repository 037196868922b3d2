"""A camera on loopback: GStreamer's RTSP server, fed packet by packet in real time from clips made beforehand.

Run by the system's Python, which has the GStreamer binding:

    rtsp_server.py --mount /front=CLIP.tracks [--port N] [--username U --password P --auth basic|digest]
                   [--transport tcp|udp|both] [--log-every N] [--live SECONDS]

Each client gets a stream of its own, from the clip's first frame, looping. With `--live` the clip runs on whether or
not anybody watches, as what a camera looks at does: at time.time() == t it is at t modulo its length, and a stream
begins at the next multiple of SECONDS, which should be the time between two key frames.

On stdout: `ready PORT`, then one line of JSON per happening. A `frame` line says when (time.time()) the frame was
captured, that is: became due. On stdin: `mute video|audio` and `unmute video|audio` for all streams, now and to come;
the end of stdin ends the server.
"""

import argparse
import base64
import json
import os
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

PAYLOADERS = {
    "h264": ("video/x-h264,stream-format=byte-stream,alignment=au", "rtph264pay"),
    "hevc": ("video/x-h265,stream-format=byte-stream,alignment=au", "rtph265pay"),
    "mjpeg": ("image/jpeg,framerate={rate}/1", "jpegparse ! rtpjpegpay"),
    "aac": (
        "audio/mpeg,mpegversion=4,stream-format=raw,channels=1,rate={rate},codec_data=(buffer){config}",
        "rtpmp4gpay",
    ),
    "pcm_alaw": ("audio/x-alaw,channels=1,rate={rate}", "rtppcmapay"),
    "pcm_mulaw": ("audio/x-mulaw,channels=1,rate={rate}", "rtppcmupay"),
}
TRANSPORTS = {
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "both": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
}
SECOND = Gst.SECOND
LATE_S = 0.2
"""A stream that begins so late was not merely woken late by a busy machine."""
QUEUE_S = 10
"""What a source keeps for a client that does not read; then the oldest goes, as in a camera."""

muted = set()
log_lock = threading.Lock()


def log(**what):
    with log_lock:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


class Clip:
    """The tracks of a clip, with the packets of each."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.tracks = json.loads(file.readline())
            for track in self.tracks:
                track["packets"] = [(*packet, file.read(packet[3])) for packet in track["packets"]]

    def launch(self):
        return "( " + " ".join(self.element(number, track) for number, track in enumerate(self.tracks)) + " )"

    @staticmethod
    def element(number, track):
        caps, payloader = PAYLOADERS[track["codec"]]
        caps = caps.format(**track)
        return (
            f'appsrc name=src{number} is-live=true format=time caps="{caps}" max-bytes=0 leaky-type=downstream '
            f"max-time={QUEUE_S * SECOND} ! {payloader} name=pay{number} pt={96 + number}"
        )


class Feed(threading.Thread):
    """Pushes the packets of one client's stream, each when it becomes due, until it is stopped."""

    count = 0

    def __init__(self, mount, clip, media, options):
        super().__init__(daemon=True)
        Feed.count += 1
        self.mount, self.clip, self.number = mount, clip, Feed.count
        self.log_every, self.live = options.log_every, options.live
        self.sources = [media.get_element().get_by_name_recurse_up(f"src{n}") for n in range(len(clip.tracks))]
        self.stopped = threading.Event()
        self.starting = threading.Lock()
        for source in self.sources:
            source.connect("need-data", self.begin)

    def begin(self, *_args):
        """The pipeline runs: time begins."""
        with self.starting:
            if not self.ident:
                self.start()

    def run(self):
        # A source may ask for data before its neighbour has a base time, and so takes the machine's uptime for its own.
        while not self.sources[0].get_base_time():
            time.sleep(0.001)
        wall = self.wait_begin()
        late = time.time() - wall
        first = self.sources[0].get_current_running_time() / SECOND - late
        monotonic = time.monotonic() - late
        skipped = round(wall % self.clip.tracks[0]["length"], 3) if self.live else 0.0
        for due, track, packet in schedule(self.clip.tracks, skipped):
            if self.stopped.wait(max(0.0, monotonic + due - time.monotonic())):
                return
            kind = self.clip.tracks[track]["kind"]
            if kind not in muted and self.push(track, packet, first) is not Gst.FlowReturn.OK:
                return
            captured, number = packet[0], packet[1]
            if kind == "video" and kind not in muted and number % self.log_every == 0:
                log(event="frame", mount=self.mount, media=self.number, frame=number, at=wall + captured)

    def wait_begin(self):
        """The time.time() at which the stream begins, as soon as it has come; frozen meanwhile, it waits anew."""
        while self.live:
            begin = (time.time() // self.live + 1) * self.live
            log(event="wait", mount=self.mount, media=self.number, until=begin)
            self.stopped.wait(begin - time.time())
            if time.time() < begin + LATE_S or self.stopped.is_set():
                return begin
        return time.time()

    def push(self, track, packet, first):
        _, _, pts, dts, data = packet
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts, buffer.dts = int((first + pts) * SECOND), int((first + dts) * SECOND)
        return self.sources[track].emit("push-buffer", buffer)


def schedule(tracks, skipped):
    """All packets of all tracks for ever, in the order in which they become due: (due, track, packet)."""
    heads = [endless(track, skipped) for track in tracks]
    nexts = [next(head) for head in heads]
    while True:
        track = min(range(len(nexts)), key=lambda n: nexts[n][0])
        yield nexts[track][0], track, nexts[track][1]
        nexts[track] = next(heads[track])


def endless(track, skipped):
    """A track's packets, again and again, from `skipped` seconds on, where its times begin.

    As in a camera, none leaves before it was captured to its end.
    """
    first = min(packet[0] for packet in track["packets"])
    late = max(packet[0] - first - packet[1] for packet in track["packets"])
    if track["kind"] == "audio":
        late += track["length"] / len(track["packets"])
    turn = 0
    while True:
        start = turn * track["length"] - skipped
        for pts, dts, number, _size, data in track["packets"]:
            if start + dts < -1e-6:
                continue
            number_now = number + turn * len(track["packets"])
            yield start + dts + late, (start + pts - first, number_now, start + pts, start + dts, data)
        turn += 1


def mount_clip(server, path, clip, options):
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(clip.launch())
    factory.set_shared(False)
    factory.set_protocols(TRANSPORTS[options.transport])
    factory.connect("media-configure", lambda _factory, media: configure(path, clip, media, options))
    if options.username is not None:
        permit(factory)
    server.get_mount_points().add_factory(path, factory)


def configure(path, clip, media, options):
    feed = Feed(path, clip, media, options)
    log(event="describe", mount=path, media=feed.number)

    def over(_media):
        feed.stopped.set()
        log(event="end", mount=path, media=feed.number)

    media.connect("unprepared", over)


def permit(factory):
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def guard(server, options):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if options.auth == "basic":
        secret = base64.b64encode(f"{options.username}:{options.password}".encode()).decode()
        auth.add_basic(secret, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.username, options.password, token)
    server.set_auth(auth)


def connected(_server, client):
    address = client.get_connection().get_ip()
    log(event="connect", address=address)
    client.connect("play-request", lambda _c, context: log(event="play", mount=context.uri.abspath))
    client.connect("teardown-request", lambda _c, context: log(event="teardown", mount=context.uri.abspath))
    client.connect("closed", lambda _c: log(event="disconnect", address=address))


def obey():
    """Commands on stdin, until it ends."""
    for line in sys.stdin:
        verb, _, kind = line.strip().partition(" ")
        (muted.add if verb == "mute" else muted.discard)(kind)
        log(event=verb, kind=kind)
    os._exit(0)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mount", action="append", required=True)
    parser.add_argument("--port", default="0")
    parser.add_argument("--username")
    parser.add_argument("--password", default=os.environ.get("RTSP_PASSWORD", ""))
    parser.add_argument("--auth", choices=["basic", "digest"], default="digest")
    parser.add_argument("--transport", choices=list(TRANSPORTS), default="both")
    parser.add_argument("--log-every", type=int, default=1)
    parser.add_argument("--live", type=float, default=0.0)
    return parser.parse_args()


def main():
    options = parse()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.username is not None:
        guard(server, options)
    for mount in options.mount:
        path, _, file = mount.partition("=")
        mount_clip(server, path, Clip(file), options)
    server.connect("client-connected", connected)
    if not server.attach(None):
        sys.exit(f"port {options.port} cannot be listened on")
    GLib.timeout_add_seconds(1, lambda: server.get_session_pool().cleanup() >= 0)
    threading.Thread(target=obey, daemon=True).start()
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
