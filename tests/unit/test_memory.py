"""Memory of the C library, seen through its own account (``mallinfo2``)."""

import platform
import subprocess
import sys

import pytest

from tests.needs import need

_PROGRAM = """
import ctypes, sys
from pipeline.runtime.process_memory import give_back, keep_for_reuse

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
Account = type("Account", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in NAMES]})
account = ctypes.CDLL(None).mallinfo2
account.restype = Account

if sys.argv[1] == "kept":
    keep_for_reuse()
before = account().hblks
piece = bytearray(8 << 20)
mapped = account().hblks - before
del piece
free = account().keepcost
give_back()
print(mapped, free >= 8 << 20, account().keepcost < 1 << 20)
"""


@pytest.mark.parametrize(("how", "found"), [("plain", "1 False True"), ("kept", "0 True True")])
def test_a_large_piece_is_kept_for_the_next_one_until_it_is_given_back(how: str, found: str) -> None:
    need(platform.libc_ver()[0] == "glibc", "another C library has no such account")
    done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
