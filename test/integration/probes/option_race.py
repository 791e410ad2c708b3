"""One thread sets a rare option on a socket while another one connects it. Prints how often that was tried, and what was lost.

Argument: how often. With ctypes, as Python's own setsockopt() keeps all other threads waiting.
"""
import ctypes
import socket
import sys
import threading

FAR = ("10.99.0.1", 80)
OPTIONS = [
    (socket.SOL_SOCKET, 12, 3),  # SO_PRIORITY
    (socket.IPPROTO_IP, socket.IP_TTL, 61),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
    (socket.IPPROTO_TCP, socket.TCP_SYNCNT, 4),
]
libc = ctypes.CDLL(None, use_errno=True)
together = threading.Barrier(2)
lost = {}


def set_option(fd, level, name, value):
    number = ctypes.c_int(value)
    together.wait()
    return libc.setsockopt(fd, level, name, ctypes.byref(number), 4)


def one(turn):
    level, name, value = OPTIONS[turn % len(OPTIONS)]
    with socket.socket() as s:
        other = threading.Thread(target=set_option, args=(s.fileno(), level, name, value))
        other.start()
        together.wait()
        s.connect(FAR)
        other.join()
        read = s.getsockopt(level, name)
        if read != value:
            lost[f"{level}/{name}: {read}"] = lost.get(f"{level}/{name}: {read}", 0) + 1


count = int(sys.argv[1])
for turn in range(count):
    one(turn)
print(count, lost)
