"""Take the user PostgreSQL may run as, tie our life to the parent's, then become the program.

A script of its own rather than a ``preexec_fn``: that one runs Python between fork and exec, which
may deadlock in a process with threads (and Python 3.12 warns). It imports nothing of Jolda, because
it starts with ``-I -S`` and should cost no more than an empty Python.

Arguments: the parent's pid, the signal to get when it dies, uid and gid to take (or ``-`` twice),
command.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, signal_number, user, group, *command = sys.argv[1:]
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if sys.platform == "linux":
        # After setuid, which clears it; it survives the exec of an ordinary program. It belongs to
        # the thread that forked us, so the caller starts us from the thread that runs its loop.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")  # it died before the line above
    os.umask(0o077)
    os.execv(command[0], command)  # noqa: S606  (no shell is the point)


if __name__ == "__main__":
    main()
