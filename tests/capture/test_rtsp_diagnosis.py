"""What a camera answers becomes one true sentence with a reason, and its password goes to nobody else."""

from collections.abc import Callable
from functools import partial

import pytest
import trio

from capture.material import SMALL, a_command
from capture.test_device import opening, outage
from capture.workers import pull, working
from interhuman2mqtt.errors import Outage, Reason, Refused
from support.processes import PATIENCE_S
from support.scripted_camera import Answer, Login, Request, scripted_camera
from support.scripted_tracks import video

LOGIN = {"username": "viewer", "password": "pa55word"}
TAKEN = Login("viewer", "pa55word")


def at(method: str, status: str, **headers: str) -> Callable[[Request], Answer | None]:
    """Answer this method with a status, each time."""
    return lambda request: Answer(status, headers) if request.method == method else None


camera = partial(scripted_camera, video(SMALL))


STATUSES = {
    "400 Bad Request": (Reason.CAMERA_ERROR, False, "does not take our request"),
    "403 Forbidden": (Reason.CAMERA_PASSWORD, True, "forbids"),
    "404 Not Found": (Reason.NOT_FOUND, True, "no such stream"),
    "405 Method Not Allowed": (Reason.CAMERA_ERROR, False, "does not take our request"),
    "406 Not Acceptable": (Reason.UNSUPPORTED, True, "cannot send this stream in a form"),
    "415 Unsupported Media Type": (Reason.UNSUPPORTED, True, "H.264"),
    "451 Parameter Not Understood": (Reason.NOT_FOUND, True, "parameter"),
    "453 Not Enough Bandwidth": (Reason.BUSY, False, "no bandwidth left"),
    "454 Session Not Found": (Reason.CAMERA_ERROR, False, "lost the session"),
    "461 Unsupported Transport": (Reason.UNSUPPORTED, True, 'set transport = "udp"'),
    "500 Internal Server Error": (Reason.CAMERA_ERROR, False, "of its own"),
    "503 Service Unavailable": (Reason.BUSY, False, "not available"),
    "551 Option not supported": (Reason.CAMERA_ERROR, False, "of its own"),
}


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_status(status: str, method: str) -> None:
    """Each status has its own reason and sentence, with the number, wherever it comes."""
    reason, final, said = STATUSES[status]
    async with camera(answer=at(method, status)) as server:
        found = await outage(a_command(server.url()))
    assert (type(found), found.reason) == (Refused if final else Outage, reason)
    assert said in found.detail
    assert f"RTSP {status}" in found.detail


async def test_a_phrase_from_outside_is_only_text() -> None:
    """No escape sequence of a camera gets into a sentence, and no essay."""
    async with camera(answer=at("DESCRIBE", "453 \x1b[2J" + "x" * 500)) as server:
        found = await outage(a_command(server.url()))
    assert "\x1b" not in found.detail
    assert len(found.detail) < 300


async def test_udp_refused() -> None:
    """A camera that sends over TCP only is reported so where `udp` is configured."""
    async with camera(answer=at("SETUP", "461 Unsupported Transport")) as server:
        found = await outage(a_command(server.url(), transport="udp"))
    assert 'does not send over UDP: set transport = "tcp"' in found.detail


async def test_the_questions_leave_no_session_behind() -> None:
    """What the diagnosis sets up it tears down: a camera may serve one client."""
    async with camera(answer=at("PLAY", "455 Method Not Valid in This State")) as server:
        await outage(a_command(server.url()))
    assert server.methods()[-2:] == ["SETUP", "TEARDOWN"]


async def test_a_redirect_to_another_host_gets_no_password() -> None:
    """Neither the password nor a digest of it is sent to where a camera redirects."""
    for method in ("OPTIONS", "DESCRIBE"):
        async with camera(login=Login("viewer", "pa55word", ("Basic",))) as thief:
            async with camera(answer=at(method, "302 Moved", Location=thief.url())) as server:
                found = await outage(a_command(server.url(), **LOGIN))
            assert thief.requests == []
        assert (type(found), found.reason) == (Refused, Reason.NOT_FOUND)
        assert "redirects to 127.0.0.1:" in found.detail
        assert not any("authorization" in request.headers for request in server.requests)


async def test_a_redirect_without_a_password_is_followed() -> None:
    """Without a login there is nothing to lose."""
    async with camera() as other, camera(answer=at("DESCRIBE", "302 Moved", Location=other.url())) as server:
        assert await trio.to_thread.run_sync(opening, a_command(server.url())) is None
        assert "PLAY" in other.methods()


@pytest.mark.parametrize("login", [{}, LOGIN], ids=["without a login", "with one"])
async def test_redirects_in_a_circle_end(login: dict[str, str]) -> None:
    """A loop of redirects ends within the time for opening, and is named."""

    def again(request: Request) -> Answer:
        return Answer("302 Moved", {"Location": request.url})

    async with camera(answer=again) as server:
        found = await outage(a_command(server.url(), open_timeout_s=2.0, **login))
    assert found.reason == Reason.CAMERA_ERROR
    assert "circle" in found.detail


async def test_a_password_by_a_digest_that_ffmpeg_knows() -> None:
    """A camera behind a login opens, however it asks for the password."""
    for schemes in (("MD5",), ("Basic",), ("Basic", "MD5")):
        async with camera(login=Login("viewer", "pa55word", schemes)) as server:
            assert await trio.to_thread.run_sync(opening, a_command(server.url(), **LOGIN)) is None


@pytest.mark.parametrize("is_right", [True, False], ids=["the right password", "a wrong one"])
async def test_a_digest_with_sha256_alone(*, is_right: bool) -> None:
    """It is named as what it is where the password is right, and only a wrong password is called one."""
    async with camera(login=Login("viewer", "pa55word" if is_right else "other", ("SHA-256",))) as server:
        found = await outage(a_command(server.url(), **LOGIN))
    assert isinstance(found, Refused)
    assert found.reason == (Reason.UNSUPPORTED if is_right else Reason.CAMERA_PASSWORD)
    assert ("SHA-256" in found.detail) == is_right
    assert LOGIN["password"] not in found.detail


async def test_a_wrong_password_is_tried_once() -> None:
    """A camera may lock an account after some failures: one opening costs one."""
    async with camera(login=Login("viewer", "other")) as server:
        found = await outage(a_command(server.url(), **LOGIN))
    assert found.reason == Reason.CAMERA_PASSWORD
    assert sum("authorization" in request.headers for request in server.requests) == 1


async def test_a_description_that_takes_long() -> None:
    """A camera that thinks for a while is waited for, as long as `open_timeout` says, and is not called broken."""

    def slowly(request: Request) -> Answer | None:
        return Answer(delay=1.5) if request.method == "DESCRIBE" else None

    async with camera(answer=slowly) as server:
        assert await trio.to_thread.run_sync(opening, a_command(server.url(), open_timeout_s=5.0)) is None
        hasty = await outage(a_command(server.url(), open_timeout_s=1.0))
    assert hasty.reason == Reason.UNREACHABLE
    assert "raise open_timeout" in hasty.detail


async def test_an_unknown_name() -> None:
    """A name without an address is reported as that."""
    found = await outage(a_command("rtsp://no-such-camera.invalid/cam"))
    assert found.reason == Reason.UNREACHABLE
    assert "the name no-such-camera.invalid cannot be found" in found.detail


@pytest.mark.parametrize("is_still", [False, True], ids=["while media comes", "while nothing comes"])
async def test_leaving_tears_the_session_down(*, is_still: bool) -> None:
    """A camera gets its TEARDOWN when we leave, also one that sends nothing at the time."""
    silent = trio.Event()
    track = video(SMALL)._replace(sent=lambda seconds: None if silent.is_set() else seconds)
    async with scripted_camera(track) as server:
        async with working(a_command(server.url())) as worker:
            await pull(worker.record("continuous", 1.0, None), 1)
            if is_still:
                silent.set()
                await trio.sleep(0.3)  # what is on its way arrives, and the capture waits for more
        with trio.fail_after(PATIENCE_S):
            await server.has_left(1)
    assert server.methods(1)[-1] == "TEARDOWN"


async def test_dismissed_it_tears_the_session_down() -> None:
    """A pause does not kill: the process has half a second to take leave of the camera."""
    async with camera() as server, working(a_command(server.url())) as worker:
        await pull(worker.record("continuous", 1.0, None), 1)
        worker.dismiss()
        await server.has_left(1)
    assert server.methods(1)[-1] == "TEARDOWN"


async def test_leaving_a_reopened_source_tears_both_sessions_down() -> None:
    """A camera that one process had to open anew, as its format changed, gets a TEARDOWN for each of its sessions."""
    small, large = video(SMALL), video(SMALL._replace(size=(256, 144)))
    later = [unit._replace(at=unit.at + 2, shown=unit.shown + 2) for unit in large.units]
    async with scripted_camera(small._replace(units=(*small.units[:30], *later))) as server:
        async with working(a_command(server.url())) as worker:
            server.tracks = [large]
            recording = worker.record("continuous", 1.0, 0.0)
            while not (await recording.next_chunk()).last:
                pass  # what came before the change
            await pull(worker.record("continuous", 1.0, None), 1)
        with trio.fail_after(PATIENCE_S):
            await server.has_left(2)
    assert [server.methods(connection)[-1] for connection in (1, 2)] == ["TEARDOWN", "TEARDOWN"]
