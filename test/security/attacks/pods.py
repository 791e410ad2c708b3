"""Attacks by root in a pod, and in the node that has it: sockswitch/pods=egress. Prints a line of JSON.

Run in the node. Threads enter the pods' network namespaces: pod1, which the node lets out, and pod2, which it does not.
A host socket is one of neither namespace, nor of the node's, by the cookie (SO_NETNS_COOKIE).
"""

import array
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading

PUBLIC, PRIVATE, REMOTE, HOST = sys.argv[1:5]
ROUNDS = int(sys.argv[5])
SO_NETNS_COOKIE = 71
SIOCGIFCONF = 0x8912
UNREPORTED = 20  # a length of addresses that the filter does not report
libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def inside(path, work):
    """`work()` on a thread in that namespace."""
    result = []

    def run():
        enter(path)
        result.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


POD1, POD2 = "/run/netns/pod1", "/run/netns/pod2"
NODE = "/proc/1/ns/net"


def tcp(patience_us=700_000):
    """A blocking socket whose connect waits so long; then it says EINPROGRESS or EALREADY."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, patience_us))
    return made


def cookie(made):
    return struct.unpack("=Q", made.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]


def attempt(made, to):
    try:
        made.connect(to)
    except OSError as error:
        return says(error.errno)
    return "connected"


def says(error):
    return "timed out" if error in (errno.EINPROGRESS, errno.EALREADY) else os.strerror(error)


def raw_connect(made, to, length):
    """connect(2) with a length of one's own."""
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", to[1]) + socket.inet_aton(to[0])
    status = libc.connect(made.fileno(), address.ljust(length, b"\0"), length)
    return "connected" if status == 0 else says(ctypes.get_errno())


def disconnect(made):
    return libc.connect(made.fileno(), b"\0" * 16, 16)


COOKIES = {path: inside(path, lambda: cookie(tcp())) for path in (NODE, POD1, POD2)}
NAMES = {COOKIES[NODE]: "node", COOKIES[POD1]: "pod1", COOKIES[POD2]: "pod2"}


def owner(made):
    return NAMES.get(cookie(made), "host")


def refused(by=PUBLIC):
    """A socket whose connect was refused."""
    made = tcp()
    outcome = attempt(made, (by, 81))
    return made, outcome


found = {}


def in_pod1():
    made = tcp()
    found["public"] = [attempt(made, (PUBLIC, 7)), owner(made)]
    disconnect(made)
    found["disconnected"] = owner(made)
    made, outcome = refused()
    found["refused"] = [outcome, owner(made)]
    found["interfaces"] = interfaces(made)
    with contextlib.suppress(OSError):  # what has connected has a port already
        made.bind(("0.0.0.0", 0))
    found["bound"] = owner(made)
    made, _ = refused()
    with contextlib.suppress(OSError):
        made.listen(1)
    found["listening"] = owner(made)
    for name, to in (("private", PRIVATE), ("lan", REMOTE), ("host", HOST), ("loopback", "127.0.0.1")):
        made, _ = refused()
        found[name] = [attempt(made, (to, 80)), owner(made)]
        made, _ = refused()
        found[name + " unreported"] = [owner(made), raw_connect(made, (to, 80), UNREPORTED)]
    made, _ = refused()
    found["public unreported"] = raw_connect(made, (PUBLIC, 80), UNREPORTED)


def in_listed():
    """PRIVATE is in a network that is listed: sockets for it are for that one alone."""
    made, outcome = refused(PRIVATE)
    found["listed"] = [outcome, owner(made)]
    others = {"public": PUBLIC, "lan": REMOTE, "host": HOST, "loopback": "127.0.0.1", "listed": PRIVATE}
    for name, to in others.items():
        made, _ = refused(PRIVATE)
        found["from listed to " + name] = [owner(made), raw_connect(made, (to, 80), UNREPORTED)]


def interfaces(made):
    buffer = array.array("B", b"\0" * 4000)
    address, length = buffer.buffer_info()
    result = fcntl.ioctl(made.fileno(), SIOCGIFCONF, struct.pack("iL", length, address))
    size = struct.unpack("iL", result)[0]
    entries = buffer.tobytes()[:size]
    return sorted(
        socket.inet_ntoa(entries[at + 20 : at + 24]) for at in range(0, size, 40)
    )


def given(made):
    """What pod2 makes of a socket of pod1."""

    def take():
        outcome = attempt(made, (PUBLIC, 80))
        return [outcome, owner(made)]

    return inside(POD2, take)


def changed():
    """How often a pod reaches somebody although the rule that forbids it is there already."""
    rules = [
        ("nft add rule ip f forward ip saddr 10.200.0.11 drop", "nft flush chain ip f forward"),
        ("ip route add blackhole %s/32" % PUBLIC, "ip route del blackhole %s/32" % PUBLIC),
        ("echo 0 >/proc/sys/net/ipv4/ip_forward", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
        ("ip link set veth1 nomaster", "ip link set veth1 master cni0"),
    ]
    switched = 0
    reached = []
    subprocess.run("nft add table ip f; nft 'add chain ip f forward { type filter hook forward priority 0; }'", shell=True, check=True)

    def probe():
        made = tcp(50_000)
        outcome = attempt(made, (PUBLIC, 80))
        return [outcome == "connected", owner(made)]

    for _ in range(ROUNDS):
        for add, remove in rules:
            before = inside(POD1, probe)
            switched += before == [True, "host"]
            subprocess.run(add, shell=True, check=True)
            if inside(POD1, probe)[0]:
                reached.append(add)
            subprocess.run(remove, shell=True, check=True)
    subprocess.run("nft delete table ip f", shell=True, check=True)
    return [switched, reached]


# pod2 is shut in by a route of its own.
subprocess.run("nsenter --net=/run/netns/pod2 ip route add blackhole 203.0.113.0/24", shell=True, check=True)
# What the node keeps from all pods, in private ranges.
subprocess.run("ip route add blackhole %s/32" % PRIVATE, shell=True, check=True)
inside(POD1, in_pod1)
subprocess.run("ip route del blackhole %s/32" % PRIVATE, shell=True, check=True)
inside(POD1, in_listed)
found["given"] = given(inside(POD1, lambda: refused()[0]))
shut_in = inside(POD2, tcp)
found["of pod2 in pod1"] = inside(POD1, lambda: [attempt(shut_in, (PUBLIC, 80)), owner(shut_in)])
free = inside(POD1, tcp)
found["of pod1 in pod2"] = inside(POD2, lambda: [attempt(free, (PUBLIC, 80)), owner(free)])
found["in pod2"] = inside(POD2, lambda: attempt(tcp(), (PUBLIC, 80)))
found["changed"] = changed()
print(json.dumps(found))
