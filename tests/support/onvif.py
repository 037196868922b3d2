"""An ONVIF camera of our own, as a process: WS-Discovery, the device and the media service, and what it was asked.

python onvif.py ADDRESS PORT USERNAME PASSWORD ELSEWHERE [http]: it tells its media service to be at ELSEWHERE, where
nobody should ask. It wants WS-UsernameToken; or HTTP digest, and is not discovered then. Each request is a line on
stdout.
"""

import base64
import hashlib
import http.server
import re
import socket
import socketserver
import struct
import sys
import threading
from datetime import UTC, datetime, timedelta

CLOCK = ("Hour", "Minute", "Second", "Year", "Month", "Day")
AHEAD = timedelta(days=400)
"""Its clock was never set."""
ENVELOPE = """<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"
 xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:ter="http://www.onvif.org/ver10/error"><SOAP-ENV:Body>{}</SOAP-ENV:Body></SOAP-ENV:Envelope>"""
MATCH = """<d:ProbeMatches><d:ProbeMatch><d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/name/Front%20Door&#x9b;31m onvif://www.onvif.org/hardware/IPC-7
 onvif://www.onvif.org/Profile/S</d:Scopes>
<d:XAddrs>http://{address}:{port}/onvif/device_service</d:XAddrs></d:ProbeMatch></d:ProbeMatches>"""
REFUSED = """<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode>
<SOAP-ENV:Value>ter:NotAuthorized</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code>
<SOAP-ENV:Reason><SOAP-ENV:Text>Sender not Authorized</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>"""
PROFILE = """<trt:Profiles token="{token}" fixed="true"><tt:Name>{token}</tt:Name><tt:VideoEncoderConfiguration>
<tt:Encoding>{codec}</tt:Encoding><tt:Resolution>
<tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>
<tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit></tt:RateControl><tt:H264><tt:GovLength>{gop}</tt:GovLength>
</tt:H264></tt:VideoEncoderConfiguration>{audio}</trt:Profiles>"""
AUDIO = "<tt:AudioEncoderConfiguration><tt:Encoding>AAC</tt:Encoding></tt:AudioEncoderConfiguration>"
STREAMS = {
    "main": ("H264", 2560, 1440, 25, 50, AUDIO),
    "sub": ("H264", 640, 360, 15, 30, AUDIO),
    "middle": ("H264", 1280, 720, 20, 40, ""),
    "jpeg": ("JPEG", 1280, 720, 5, 1, ""),
}


NONCE = "dcd98b7102dd2f0e"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def utc() -> datetime:
    return datetime.now(UTC) + AHEAD


def allowed(request: str, username: str, password: str) -> bool:
    """Whether the token of a request was made of this password, just now by this camera's clock."""
    found = re.search(
        r"<w:Username>(.*?)</.*?PasswordDigest\">(.*?)</.*?Base64Binary\">(.*?)</.*?Created>(.*?)</", request, re.DOTALL
    )
    if found is None or found[1] != username:
        return False
    nonce, created = base64.b64decode(found[3]), found[4]
    digest = base64.b64encode(hashlib.sha1(nonce + created.encode() + password.encode()).digest()).decode()
    age = utc() - datetime.fromisoformat(created)
    return digest == found[2] and abs(age) < timedelta(seconds=10)


class Camera(http.server.ThreadingHTTPServer):
    """What it answers."""

    address, port, username, password, elsewhere = sys.argv[1:6]
    by_http = "http" in sys.argv[6:]

    def server_bind(self) -> None:
        """Without the look-up of our own name, which takes ten seconds where there is no DNS."""
        socketserver.TCPServer.server_bind(self)

    def answer(self, request: str) -> tuple[int, str]:
        """The answer to a request, and its HTTP status."""
        [asked] = re.findall(r"<s:Body><\w+:(\w+)", request)
        print(asked, "signed" if "UsernameToken" in request else "unsigned", flush=True)
        if asked == "GetSystemDateAndTime":
            now = utc()
            parts = "".join(f"<tt:{each}>{getattr(now, each.lower())}</tt:{each}>" for each in CLOCK)
            return 200, f"<tds:SystemDateAndTime><tt:UTCDateTime>{parts}</tt:UTCDateTime></tds:SystemDateAndTime>"
        if not self.by_http and not allowed(request, self.username, self.password):
            return 400, REFUSED
        match asked:
            case "GetCapabilities":
                return (
                    200,
                    f"<tds:Capabilities><tt:Media><tt:XAddr>{self.elsewhere}/onvif/med</tt:XAddr></tt:Media></tds:Capabilities>",
                )
            case "GetDeviceInformation":
                return 200, "<tds:Manufacturer>Acme</tds:Manufacturer><tds:Model>IPC-7</tds:Model>"
            case "GetProfiles":
                return 200, "".join(
                    PROFILE.format(token=token, codec=codec, width=w, height=h, fps=fps, gop=gop, audio=audio)
                    for token, (codec, w, h, fps, gop, audio) in STREAMS.items()
                )
        [token] = re.findall(r"ProfileToken>(\w+)<", request)
        return 200, f"<tt:Uri>rtsp://admin:secret@{self.address}:554/{token}?unicast=true&amp;proto=Onvif</tt:Uri>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Speaks HTTP for the camera."""

    server: Camera

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.server.by_http and "GetSystemDateAndTime" not in request and not self.knows_password():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("WWW-Authenticate", f'Digest realm="camera", nonce="{NONCE}", qop="auth, auth-int"')
            self.end_headers()
            return
        status, body = self.server.answer(request)
        if self.path not in {"/onvif/device_service", "/onvif/med"}:
            status, body = 404, ""
        answer = ENVELOPE.format(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def knows_password(self) -> bool:
        """RFC 2617, 3.2.2, with MD5 and qop."""
        said = dict(re.findall(r'(\w+)="?([^",]+)', self.headers.get("Authorization", "")))
        secret = md5(f"{self.server.username}:camera:{self.server.password}")
        asked = md5(f"POST:{self.path}")
        expected = md5(f"{secret}:{NONCE}:{said.get('nc')}:{said.get('cnonce')}:auth:{asked}")
        return said.get("response") == expected and said.get("username") == self.server.username

    def log_message(self, *_: object) -> None:
        """Not on stderr."""


def discovery(camera: Camera) -> None:
    """Answer who asks by multicast, and nonsense before it."""
    if camera.by_http:
        print("ready", file=sys.stderr, flush=True)
        threading.Event().wait()
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("", 3702))
    group = struct.pack("=4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(camera.address))
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    print("ready", file=sys.stderr, flush=True)
    while True:
        question, sender = listening.recvfrom(65507)
        print("Probe" if b"Probe" in question else "?", flush=True)
        for answer in (b"\xff\x00", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", b"<a/>"):
            listening.sendto(answer, sender)
        match = MATCH.format(address=camera.address, port=camera.port)
        listening.sendto(ENVELOPE.format(match).encode(), sender)


if __name__ == "__main__":
    camera = Camera((Camera.address, int(Camera.port)), Handler)
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    discovery(camera)
