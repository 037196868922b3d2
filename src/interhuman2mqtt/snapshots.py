"""Pictures on request: taken by a camera's worker, published at once, and stored nowhere on the box."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
import structlog
import trio

from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.cameras.snapshot import NoPicture, Picture
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.direct import NotDelivered
from interhuman2mqtt.publish.publisher import Announcer
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.requests import NotDone

log = structlog.get_logger(__name__)


class Snapshots:
    """Shows what the cameras of a box see now.

    Args:
        fleet: The cameras.
        topics: Where pictures go.
        announcer: Clears those that are retained, once their camera may not be seen.
        publish: Sends a message at once; returns when the broker has it, raises NotDelivered.
    """

    def __init__(
        self, fleet: Fleet, topics: Topics, announcer: Announcer, publish: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._fleet = fleet
        self._topics = topics
        self._announcer = announcer
        self._publish = publish

    async def take(self, camera: str, *, retain: bool) -> dict[str, Any]:
        """Publish what a camera sees now; returns what the answer tells of it, raises NotDone."""
        found = self._fleet.cameras.get(camera)
        if found is None:
            raise NotDone(f"no snapshot of {camera}: it is just being stopped or started")
        told: dict[str, Any] = {}

        async def deliver(picture: Picture) -> None:
            message = self._topics.snapshot(camera, picture.jpeg, picture.taken_at, retain=retain)
            if retain:
                self._announcer.shows(camera)
            await self._publish(message)
            told.update(topic=message.topic)

        try:
            picture = await found.show(deliver)
        except (NoPicture, NotDelivered) as error:
            raise NotDone(f"no snapshot of {camera}: {error}") from error
        log.info("snapshot", camera=camera, bytes=len(picture.jpeg), retained=retain)
        width, height = picture.size
        return {
            "size": f"{width}x{height}",
            "taken_at": msgspec.to_builtins(picture.taken_at),
            "bytes": len(picture.jpeg),
            "topic": told["topic"],
        }

    async def take_all(self, cameras: Collection[str], *, retain: bool) -> dict[str, Any]:
        """The same of several, side by side, by camera; raises NotDone where one of them cannot be seen."""
        told: dict[str, Any] = {}
        refused: list[str] = []

        async def one(camera: str) -> None:
            try:
                told[camera] = await self.take(camera, retain=retain)
            except NotDone as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for camera in cameras:
                nursery.start_soon(one, camera)
        if refused:
            raise NotDone("; ".join(refused), {"snapshots": told})
        return {"snapshots": told}
