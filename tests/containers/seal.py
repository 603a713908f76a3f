#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What runc from 1.2 on does with its own program: a detached, read-only overlay that nobody can
reach by a name, the program opened through it, and run by its descriptor after all else is closed."""

import ctypes
import errno
import os
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
SET_FLAG, SET_STRING, CREATE = 0, 1, 6
RDONLY, NOSUID, NODEV = 1, 2, 4


def call(number, *args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    got = libc.syscall(ctypes.c_long(number), *args)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got


def main():
    state = tempfile.mkdtemp()
    context = call(FSOPEN, b"overlay", 1)
    call(FSCONFIG, context, SET_STRING, b"lowerdir", f"/usr/bin:{state}".encode(), 0)
    call(FSCONFIG, context, SET_STRING, b"xino", b"off", 0)
    try:
        call(FSCONFIG, context, SET_STRING, b"unsupported", b"x", 0)
        print("an unknown option is taken")
    except OSError as e:
        print("an unknown option:", errno.errorcode[e.errno])
    call(FSCONFIG, context, CREATE, None, None, 0)
    mount = call(FSMOUNT, context, 1, RDONLY | NOSUID | NODEV)
    os.close(context)
    program = os.open("echo", os.O_PATH | os.O_CLOEXEC, dir_fd=mount)
    os.close(mount)
    os.rmdir(state)
    try:
        os.open(f"/proc/self/fd/{program}", os.O_WRONLY)
        print("the program can be written")
    except OSError as e:
        print("to write the program:", errno.errorcode[e.errno])
    print("the size of the program is right:", os.fstat(program).st_size == os.stat("/usr/bin/echo").st_size, flush=True)
    os.execve(program, ["echo", "sealed and run"], {})


main()
