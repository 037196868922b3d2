"""Run a command that may have no memory both writable and executable, as MemoryDenyWriteExecute=yes has it.

prctl(2), PR_SET_MDWE: since Linux 6.3; it holds for all that the process starts. Exit status 77 where it is not known.
"""

import ctypes
import os
import sys

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
