"""Sets each socket option on a TCP socket of its own, connects, and tells what can be read back then: one line an option.

Argument: "carried" or "kept-back", the two lists of docs/socket-options.md. Servers as in semantics.py.
"""
import errno
import socket
import struct
import sys

FAR, FAR6 = ("10.99.0.1", 80), ("fd99::1", 80)
SOCKET, IP, IPV6, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP


def number(value):
    return struct.pack("i", value)


def timeval(seconds):
    return struct.pack("ll", seconds, 500_000)


CARRIED = [
    (SOCKET, 2, "SO_REUSEADDR", number(1)),
    (SOCKET, 6, "SO_BROADCAST", number(1)),
    (SOCKET, 7, "SO_SNDBUF", number(50_000)),
    (SOCKET, 8, "SO_RCVBUF", number(50_000)),
    (SOCKET, 9, "SO_KEEPALIVE", number(1)),
    (SOCKET, 10, "SO_OOBINLINE", number(1)),
    (SOCKET, 12, "SO_PRIORITY", number(3)),
    (SOCKET, 13, "SO_LINGER", struct.pack("ii", 1, 7)),
    (SOCKET, 15, "SO_REUSEPORT", number(1)),
    (SOCKET, 18, "SO_RCVLOWAT", number(3)),
    (SOCKET, 20, "SO_RCVTIMEO", timeval(11)),
    (SOCKET, 21, "SO_SNDTIMEO", timeval(12)),
    (SOCKET, 29, "SO_TIMESTAMP", number(1)),
    (SOCKET, 37, "SO_TIMESTAMPING", number(1 << 4 | 1 << 3)),
    (SOCKET, 45, "SO_SELECT_ERR_QUEUE", number(1)),
    (SOCKET, 47, "SO_MAX_PACING_RATE", struct.pack("Q", 123_456_789)),
    (SOCKET, 60, "SO_ZEROCOPY", number(1)),
    (SOCKET, 74, "SO_TXREHASH", number(0)),
    (TCP, 1, "TCP_NODELAY", number(1)),
    (TCP, 2, "TCP_MAXSEG", number(1_000)),
    (TCP, 3, "TCP_CORK", number(1)),
    (TCP, 4, "TCP_KEEPIDLE", number(77)),
    (TCP, 5, "TCP_KEEPINTVL", number(33)),
    (TCP, 6, "TCP_KEEPCNT", number(4)),
    (TCP, 7, "TCP_SYNCNT", number(4)),
    (TCP, 8, "TCP_LINGER2", number(9)),
    (TCP, 9, "TCP_DEFER_ACCEPT", number(3)),
    (TCP, 10, "TCP_WINDOW_CLAMP", number(40_000)),
    (TCP, 12, "TCP_QUICKACK", number(0)),
    (TCP, 13, "TCP_CONGESTION", b"reno"),
    (TCP, 16, "TCP_THIN_LINEAR_TIMEOUTS", number(1)),
    (TCP, 18, "TCP_USER_TIMEOUT", number(4_321)),
    (TCP, 25, "TCP_NOTSENT_LOWAT", number(16_384)),
    (TCP, 34, "TCP_FASTOPEN_NO_COOKIE", number(1)),
    (TCP, 36, "TCP_INQ", number(1)),
    (IP, 1, "IP_TOS", number(0x10)),
    (IP, 2, "IP_TTL", number(61)),
    (IP, 10, "IP_MTU_DISCOVER", number(0)),
    (IP, 11, "IP_RECVERR", number(1)),
    (IP, 15, "IP_FREEBIND", number(1)),
    (IP, 21, "IP_MINTTL", number(5)),
    (IP, 24, "IP_BIND_ADDRESS_NO_PORT", number(1)),
    (IP, 51, "IP_LOCAL_PORT_RANGE", struct.pack("I", 50_000 << 16 | 40_000)),
    (IPV6, 16, "IPV6_UNICAST_HOPS", number(62)),
    (IPV6, 23, "IPV6_MTU_DISCOVER", number(0)),
    (IPV6, 25, "IPV6_RECVERR", number(1)),
    (IPV6, 26, "IPV6_V6ONLY", number(1)),
    (IPV6, 67, "IPV6_TCLASS", number(0x20)),
    (IPV6, 70, "IPV6_AUTOFLOWLABEL", number(0)),
    (IPV6, 72, "IPV6_ADDR_PREFERENCES", number(1)),
    (IPV6, 73, "IPV6_MINHOPCOUNT", number(6)),
    (IPV6, 78, "IPV6_FREEBIND", number(1)),
]
KEPT_BACK = [
    (SOCKET, 25, "SO_BINDTODEVICE", None),
    (TCP, 30, "TCP_FASTOPEN_CONNECT", number(1)),
    (IP, 50, "IP_UNICAST_IF", None),
    (IPV6, 76, "IPV6_UNICAST_IF", None),
]


def outgoing():
    """The container's own interface, which every fallback network gives it."""
    return next(name for _, name in socket.if_nameindex() if name != "lo")


def value_of(name, value):
    if value is not None:
        return value
    if name == "SO_BINDTODEVICE":
        return outgoing().encode()
    return struct.pack("!I", socket.if_nametoindex(outgoing()))


def try_option(level, option, name, value):
    six = level == IPV6
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as s:
        try:
            s.setsockopt(level, option, value_of(name, value))
        except OSError as error:
            return f"not set: {errno.errorcode[error.errno]}"
        s.connect(FAR6 if six else FAR)
        if name in ("SO_BINDTODEVICE", "IP_UNICAST_IF", "IPV6_UNICAST_IF"):
            return "connected"
        return s.getsockopt(level, option, 32).rstrip(b"\0").hex() or "0"


for entry in CARRIED if sys.argv[1] == "carried" else KEPT_BACK:
    print(entry[2], try_option(*entry), flush=True)
