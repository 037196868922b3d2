"""Processes of the tests are read, frozen and ended as the tests believe."""

import sys

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from support.processes import ChildProcess, ProcessEnded, in_background, running


async def test_lines_are_gathered() -> None:
    """Lines of stdout and stderr are found, whether they were printed before or after somebody waited for them."""
    talker = "import sys; print('one', flush=True); print(input(), file=sys.stderr, flush=True); print('end', end='')"
    async with running([sys.executable, "-c", talker]) as process:
        assert await process.wait_line(lambda line: line == "one") == "one"
        await process.write_line("two")
        assert await process.wait_line(lambda line: line == "two") == "two"
        assert await process.wait_line(lambda line: line == "end") == "end"
        with pytest.raises(ProcessEnded, match="one\ntwo\nend"):
            await process.wait_line(lambda line: line == "never")


async def test_a_line_that_does_not_come_in_time() -> None:
    """Waiting has an end."""
    async with running([sys.executable, "-c", "input()"]) as process:
        with pytest.raises(trio.TooSlowError):
            await process.wait_line(lambda _: True, within=0.05)


async def test_killed_with_the_block() -> None:
    """A process ends with its block, even a frozen one."""
    async with running([sys.executable, "-c", "input()"]) as process:
        process.freeze()
    assert process.process.returncode == -9


async def test_killed_with_a_block_that_fails() -> None:
    """A process ends with its block when that fails, too, and the error stays what it is."""
    started: list[ChildProcess] = []
    with pytest.raises(ZeroDivisionError):
        await fail_beside(started)
    assert started[0].process.returncode == -9


async def fail_beside(started: list[ChildProcess]) -> None:
    async with running([sys.executable, "-c", "input()"]) as process:
        started.append(process)
        raise ZeroDivisionError


async def test_in_background() -> None:
    """A task in the background is ended with its block, and the block's errors stay what they are."""
    ended = trio.Event()

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def fail() -> None:
        async with in_background(work):
            await wait_all_tasks_blocked()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert ended.is_set()
