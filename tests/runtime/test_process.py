"""A crash leaves no core in which a secret could be read, and a process keeps to the memory that it is given."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CRASHES = """
import os, resource, signal
from interhuman2mqtt.runtime.process import keep_private
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
keep_private()
os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_no_core_is_left(tmp_path: Path) -> None:
    """Though the process was started with as much as it may have."""
    process = subprocess.Popen([sys.executable, "-c", CRASHES], cwd=tmp_path)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # it is reaped
    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def test_both_ways_are_closed() -> None:
    """The limit, and the kernel's own flag, which alone counts where cores go through a pipe."""
    code = (
        "import ctypes, resource; from interhuman2mqtt.runtime.process import keep_private\n"
        "keep_private()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"  # PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "(0, 0) 0"


def test_memory_is_bounded() -> None:
    """Beyond the bound an allocation fails, in this process alone."""
    code = (
        "from interhuman2mqtt.runtime import process\n"
        "process.bound(200 << 20)\n"
        "held = bytes(50 << 20)\n"
        "try: bytes(400 << 20)\n"
        "except MemoryError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "refused"


def test_freed_memory_is_used_again() -> None:
    """Buffers of a chunk's size are not asked of the kernel anew, page by page, once some like them were freed."""
    code = (
        "import resource; from interhuman2mqtt.runtime.process import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(20): del (copies := [b'x' * (1 << 20) for _ in range(3)])[:]\n"
        "print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) < 3000  # 10,000 without it, 768 for the first three
