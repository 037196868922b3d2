"""The outcome of `doctor`'s checks, printed a line each, with what to do about each reason."""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TextIO

import msgspec
from msgspec import Struct

from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.sanitize import clean_lines


class Status(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not always."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be looked at; the detail says why."""


class Check(Struct, frozen=True):
    """One link of the chain."""

    check: str
    status: Status
    detail: str
    remedy: str | None = None


def ok(check: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(check, Status.OK, redact(detail))


def failed(check: str, detail: str, what_to_do: str) -> Check:
    """Return a check that failed."""
    return Check(check, Status.FAILED, redact(detail), what_to_do)


def down(check: str, outage: Outage) -> Check:
    """Return a check that failed by an outage, in the daemon's own words."""
    return failed(check, f"{outage.reason.value}: {outage.detail}", remedy(outage))


def warning(check: str, detail: str, what_to_do: str) -> Check:
    """Return a check that passed with a reservation."""
    return Check(check, Status.WARNING, redact(detail), what_to_do)


def skipped(check: str, detail: str) -> Check:
    """Nobody looked."""
    return Check(check, Status.SKIPPED, redact(detail))


def is_well(checks: Iterable[Check]) -> bool:
    """Return whether nothing failed."""
    return all(check.status is not Status.FAILED for check in checks)


def print_checks(checks: list[Check], out: TextIO, *, as_json: bool) -> None:
    """Print all checks, a line each, the remedy below it."""
    if as_json:
        print(json.dumps({"ok": is_well(checks), "checks": msgspec.to_builtins(checks)}), file=out)
        return
    width = max(len(check.check) for check in checks)
    for check in checks:
        print(f"{check.status.value:8}{check.check:{width}}  {clean_lines(check.detail)}", file=out)
        if check.remedy:
            print(f"{'':8}{'':{width}}  -> {_indented(clean_lines(check.remedy), 8 + width + 5)}", file=out)


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


_remedies: Mapping[Reason, str] = {
    Reason.UNREACHABLE: "is the camera on, RTSP enabled, host and port right, and does a firewall let us through?",
    Reason.NOT_FOUND: "for a device see `interhuman2mqtt devices`, for RTSP the camera's manual has the stream's path",
    Reason.BUSY: "end the other program; if it is the service itself, `interhuman2mqtt pause CAMERA` frees the device, "
    "and `probe` then takes it by its source, not by its name",
    Reason.NO_PERMISSION: "usermod -aG video,audio USER, and log in again; a file needs chmod",
    Reason.CAMERA_PASSWORD: "check username and password, which stand beside source and never inside it",
    Reason.NO_VIDEO: 'name a stream with video, or set model = "inter-2-audio", which analyses audio alone',
    Reason.NO_AUDIO: "name a stream with audio, switch the camera's microphone on, or name one in microphone",
    Reason.CAMERA_ERROR: "restart the camera, or name another stream of it; its own log may say more",
    Reason.UNSUPPORTED: 'change what the sentence names; with "auto", video, audio and format take what they can',
    Reason.INVALID_MEDIA: "try another stream of the camera (H.264, a key frame each second), or restart the camera",
    Reason.OPEN_TIMEOUT: "restart the camera, or unplug it and plug it in again; "
    'over RTSP try transport = "udp" or "tcp", whichever it is not now',
    Reason.STALLED: "restart the camera; unplug a USB device and plug it in again",
    Reason.VIDEO_STALLED: "restart the camera",
    Reason.AUDIO_STALLED: 'restart the camera, or set audio = "silence"',
    Reason.NO_BROWSER: "open a link of `interhuman2mqtt invite CAMERA` on the laptop or phone that is to be it",
    Reason.SOURCE_ENDED: "restart the camera; a file must have more than one frame",
    Reason.CAPTURE_CRASHED: "run it with [log] level = debug, and report what it prints",
    Reason.CLOUD_UNREACHABLE: "is interhuman.url right, and does the network let us out to it, or is a proxy needed?",
    Reason.PROXY_REFUSED: "check interhuman.proxy, or https_proxy of the environment, and what the proxy lets through",
    Reason.TLS_FAILED: "is the clock right? Name the CA of a proxy that opens TLS, or of a private cloud, in ca_file",
    Reason.UNAUTHORIZED: "copy the API key again from the console, whole and without quotes, to where api_key points",
    Reason.TOKEN_EXPIRED: "look at what renews the token's file: interhuman2mqtt token mint, and its timer",
    Reason.SCOPE_MISSING: "make a key with the scope interhumanai.stream in the console",
    Reason.BAD_REQUEST: "check model, include and goal_dimensions",
    Reason.MODEL_UNAVAILABLE: "wait: the service tries again by itself; or choose another model",
    Reason.RATE_LIMITED: "wait: the service tries again by itself",
    Reason.CONCURRENCY_LIMIT: "end other sessions, set max_sessions to this box's share, or have the limit raised",
    Reason.QUOTA_EXHAUSTED: "have the account's quota raised, or wait for its renewal",
    Reason.MEDIA_REJECTED: "try another stream of the camera, or framing = standalone",
    Reason.CLOUD_ERROR: "wait: the service tries again by itself; if it stays so, ask the cloud's support",
    Reason.CONNECTION_LOST: "is something between here and the cloud that ends WebSocket connections?",
    Reason.SESSION_LIMIT: "wait: the service begins a new session by itself",
    Reason.JOB_LOST: "send the recording again, if it may be analysed, and paid for, twice",
    Reason.PROTOCOL: "is interhuman.url really the streaming endpoint, and is this version of the program up to date?",
    Reason.BROKER_UNREACHABLE: "is the broker running, mqtt.url right, and does a firewall let us through?",
    Reason.BROKER_REFUSED: "check mqtt.username, mqtt.password, and that the broker lets this client id in",
    Reason.BROKER_LOST: "look into the broker's log: it says why it ended the connection",
    Reason.PAUSED: "`interhuman2mqtt resume CAMERA` lifts it, if whoever is seen agrees",
    Reason.TAKEN_OVER: "give each box an id of its own",
    Reason.DISK_FAILED: "make room on the disk it names; where there is some, `dmesg` shows whether it fails",
    Reason.SECRET_MISSING: "put the secret where the configuration says, readable by the service alone",
}


def remedy(outage: Outage) -> str:
    """Return what to do about an outage."""
    if "ca_file: " in outage.detail:
        return "put the certificate of the CA there, in PEM: it begins with -----BEGIN CERTIFICATE-----"
    return _remedies.get(outage.reason, "see the log of the service: journalctl -u interhuman2mqtt")
