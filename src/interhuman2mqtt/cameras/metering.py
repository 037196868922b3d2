"""A recording that is paid for: each chunk is charged to the budgets before a session gets it."""

from interhuman2mqtt.cameras.standing import Standing
from interhuman2mqtt.events import MediaChunk, Recording
from interhuman2mqtt.policy.budgets import Budgets


class Metered:
    """Hands on what another recording gives, as long as it may leave the box."""

    def __init__(self, recording: Recording, budgets: Budgets, standing: Standing) -> None:
        self._recording = recording
        self._budgets = budgets
        self._standing = standing

    async def next_chunk(self) -> MediaChunk:
        """The next chunk, charged; raises Outage also where it would be beyond a budget."""
        chunk = await self._recording.next_chunk()
        if chunk.payload:
            await self._budgets.charge(self._standing.camera, chunk.media_end - chunk.media_start)
            self._standing.sends()
        return chunk

    async def rest(self, seconds: float) -> None:
        """Pull nothing for so long."""
        await self._recording.rest(seconds)

    def finish(self) -> None:
        """End at the next boundary between GOPs."""
        self._recording.finish()
