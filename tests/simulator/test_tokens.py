"""Client tokens, asked for by the vendor's own client: minted, capped, expired and revoked."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from interhumanai import AuthClient, InterhumanAPIError, InterhumanClient, Scope
from interhumanai.auth import ClientTokenResponse
from interhumanai.stream import ErrorEvent

from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.settings import STREAM_SCOPE, UPLOAD_SCOPE, Key, Settings, Tokens
from interhuman2mqtt.simulator.tokens import MintRequest, TokenStore
from simulator.helpers import clip, fragments, simulator
from simulator.test_sdk import http, in_asyncio
from simulator.test_uploads import EVERYTHING, QUICK

KEY = "ih_live_account"
ONE_KEY = Settings(port=0, keys=(Key(KEY, (STREAM_SCOPE, UPLOAD_SCOPE)),), uploads=QUICK)


async def minted(url: str, **wishes: Any) -> ClientTokenResponse:
    return await AuthClient(base_url=url).create_client_token(**{"api_key": KEY, **wishes})


async def streamed(url: str, token: str) -> list[str]:
    """A whole session with a token; the ids of the errors that the client was told."""
    async with InterhumanClient(access_token=token, base_url=url).stream(api_version="v2") as stream:
        await stream.wait_for_session_ready()
        for piece in fragments(clip(12)):
            await stream.send_video(piece)
        await stream.request_close()
        return [event.data.code async for event in stream if isinstance(event, ErrorEvent)]


async def refusal(work: Any) -> tuple[int, str | None]:
    with pytest.raises(InterhumanAPIError) as caught:
        await work
    return caught.value.status, caught.value.error_id


async def test_a_token_is_good_for_sessions_and_uploads() -> None:
    """With the scopes that were asked for; its life is clamped, and it may have one session at once unless told."""

    async def work(url: str) -> None:
        token = await minted(url, scopes=[Scope.STREAM, Scope.UPLOAD], expires_in=7200)
        assert (token.expires_in, token.max_concurrent, token.scope) == (3600, 1, f"{STREAM_SCOPE} {UPLOAD_SCOPE}")
        assert await streamed(url, token.access_token) == []
        client = InterhumanClient(access_token=token.access_token, base_url=url)
        job = await client.upload.submit(clip(12), model="inter-2", include=EVERYTHING)
        later = await minted(url, scopes=[Scope.UPLOAD])
        other = InterhumanClient(access_token=later.access_token, base_url=url)
        assert (await other.upload.wait_for_job(job, poll_interval=0.02, timeout=20)).result is not None

    async with simulator(ONE_KEY) as address:
        await in_asyncio(work(http(address.url)))


async def test_who_may_not_mint() -> None:
    """A wrong key, a scope that the key lacks, and a token."""

    async def work(url: str) -> list[tuple[int, str | None]]:
        token = await minted(url)
        return [
            await refusal(minted(url, api_key="ih_live_other")),
            await refusal(minted(url, scopes=["interhumanai.realtime"])),
            await refusal(minted(url, api_key=token.access_token)),
        ]

    async with simulator(ONE_KEY) as address:
        assert await in_asyncio(work(http(address.url))) == [(401, "ih2001"), (403, "ih2003"), (401, "ih2001")]


async def test_a_token_that_was_revoked() -> None:
    """It begins no session any more, and the one that runs ends at its next chunk; again, and of nothing, is fine."""

    async def work(url: str) -> list[str]:
        token = (await minted(url)).access_token
        auth = AuthClient(base_url=url)
        async with InterhumanClient(access_token=token, base_url=url).stream(api_version="v2") as stream:
            await stream.wait_for_session_ready()
            for _ in range(2):
                await auth.revoke_client_token(api_key=KEY, token=token)
            await stream.send_video(fragments(clip(12))[0])
            return [event.data.code async for event in stream if isinstance(event, ErrorEvent)]

    async with simulator(ONE_KEY) as address:
        assert await in_asyncio(work(http(address.url))) == ["ih2014"]


@pytest.mark.parametrize("caps", [{"max_bytes": 10_000}, {"max_video_seconds": 4}], ids=["bytes", "video"])
async def test_a_budget_that_is_spent_ends_the_session(caps: dict[str, int]) -> None:
    """With ih3006, and the next one is not begun."""

    async def work(url: str) -> list[str]:
        token = (await minted(url, **caps)).access_token
        async with InterhumanClient(access_token=token, base_url=url).stream(api_version="v2") as stream:
            await stream.wait_for_session_ready()
            for piece in fragments(clip(12)):
                await stream.send_video(piece)
            return [event.data.code async for event in stream if isinstance(event, ErrorEvent)]

    async with simulator(ONE_KEY) as address:
        assert await in_asyncio(work(http(address.url))) == ["ih3006"]


def test_expiry_by_a_clock() -> None:
    """It bounds what begins after it; a life that is too short is made longer, and a stranger's token is none."""
    now = 100.0
    store = TokenStore(Tokens(), lambda: now)
    answer = store.mint(Key(KEY), MintRequest(api_key=KEY, expires_in=1, max_duration_seconds=7))
    assert (answer["expires_in"], answer["max_duration_seconds"]) == (60, 7)
    assert store.find(answer["access_token"]) is not None
    now = 160.0
    for credential, code in ((answer["access_token"], "ih2010"), ("ih_ct_of_nobody", "ih2011")):
        with pytest.raises(Answer) as refused:
            store.find(credential)
        assert refused.value.error.code == code


@pytest.mark.parametrize("most", [1, 2])
async def test_sessions_at_once(most: int) -> None:
    """A token has one session at once, or as many as it was minted for."""

    async def work(url: str) -> list[str | None]:
        token = (await minted(url, **({} if most == 1 else {"max_concurrent": most}))).access_token
        client = InterhumanClient(access_token=token, base_url=url)
        async with AsyncExitStack() as stack:
            for _ in range(most):
                stream = await stack.enter_async_context(client.stream(api_version="v2"))
                await stream.wait_for_session_ready()
            async with client.stream(api_version="v2") as stream:
                return [event.data.code async for event in stream if isinstance(event, ErrorEvent)]

    async with simulator(ONE_KEY) as address:
        assert await in_asyncio(work(http(address.url))) == ["ih3002"]
