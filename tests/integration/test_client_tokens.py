"""A box that has no key of the account, but a token that somebody renews."""

from pathlib import Path

import trio

from integration.helpers import KEY, Peers, box, run_peers
from interhuman2mqtt import cli
from support.clips import Clip


async def token(peers: Peers, kind: str, *words: str) -> None:
    """Run the command `token` on the trusted machine."""
    key = peers.folder / "account.key"
    key.write_text(KEY)
    command = ["token", kind, "--url", peers.cloud.url(), "--api-key-file", str(key), *words]
    assert await trio.to_thread.run_sync(cli.main, command) == 0


async def test_a_token_in_a_file(tmp_path: Path) -> None:
    """Revoked it ends its session, and the next one in the file begins another without waiting for the back-off."""
    file = tmp_path / "box.token"
    async with run_peers(tmp_path, "--key", KEY) as peers:
        await token(peers, "mint", "--out", str(file))
        camera = {"source": f"file:{Clip().path()}", "api_key": {"file": str(file)}}
        async with box(tmp_path, peers.config({"front": camera})) as daemon:
            await peers.wait_status("front", "streaming")
            await peers.wait_event("front", "engagement.updated")
            await token(peers, "revoke", str(file))
            refused = await peers.wait_status("front", "refused", "token_expired")
            assert "the client token was revoked" in refused["detail"]
            await token(peers, "mint", "--out", str(file))
            await peers.wait_latest("front", lambda status: status["state"] == "streaming")
            assert await daemon.stop() == 0
        assert len(peers.cloud.happened("opened")) == 2
        assert not [line for line in daemon.output if file.read_text().strip() in line or KEY in line]
