"""
Takes the first IPv6 socket of a process and connects it, as whoever wins a race could, to another address, which may be of IPv4 (::ffff:192.0.2.1).

  other_family.py PID ADDRESS PORT

Prints "reached", or the error.
"""
import ctypes
import os
import socket
import struct
import sys

PIDFD_OPEN, PIDFD_GETFD = 434, 438
libc = ctypes.CDLL(None, use_errno=True)


def sockets(pid: int):
    pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
    for number in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
        if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
            continue
        fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        yield socket.socket(fileno=fd)


def main(pid: str, address: str, port: str) -> None:
    taken = next(one for one in sockets(int(pid)) if one.family == socket.AF_INET6)
    unspec = struct.pack("H14x", socket.AF_UNSPEC)
    if libc.connect(taken.fileno(), unspec, len(unspec)) != 0:
        raise OSError(ctypes.get_errno(), "connect AF_UNSPEC")
    taken.settimeout(3)
    try:
        taken.connect((address, int(port)))
        print("reached")
    except OSError as error:
        print(error)


main(*sys.argv[1:])
