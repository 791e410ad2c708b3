"""What a program sees of connect(2) and of what follows, a line a case: the same with and without acceleration.

Servers: FAR answers HTTP on port 80 and refuses port 81; SILENT swallows every packet.
"""
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import tempfile
import time

FAR, REFUSED, SILENT = ("10.99.0.1", 80), ("10.99.0.1", 81), ("10.98.0.1", 80)
FAR6 = ("fd99::1", 80)
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
SETTLED = 0.2  # seconds after which a connection to FAR is there or refused

libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
cases = []


def case(function):
    cases.append(function)
    return function


def name_of(error):
    return errno.errorcode.get(error, error) if error else 0


def outcome(action):
    """The value of an action, or the name of its error."""
    try:
        return action()
    except OSError as error:
        return name_of(error.errno)


def tcp(blocking=True, family=socket.AF_INET):
    result = socket.socket(family)
    result.setblocking(blocking)
    return result


def connect(sock, address):
    return outcome(lambda: sock.connect(address))


def raw_connect(fd, address, length):
    return name_of(ctypes.get_errno()) if libc.connect(fd, address, length) else 0


def later(sock, address):
    time.sleep(SETTLED)
    return connect(sock, address)


@case
def blocking_connect_and_again():
    s = tcp()
    return connect(s, FAR), connect(s, FAR), s.getpeername()


@case
def refused_then_accepted_on_the_same_socket():
    s = tcp()
    return connect(s, REFUSED), connect(s, REFUSED), connect(s, FAR), connect(s, FAR)


@case
def non_blocking_connect():
    s = tcp(False)
    first = connect(s, FAR)
    writable = select.select([], [s], [], 2)[1]
    return first, len(writable), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), connect(s, FAR), connect(s, FAR)


@case
def non_blocking_refused_with_so_error():
    s = tcp(False)
    first = connect(s, REFUSED)
    select.select([], [s], [], 2)
    errors = [name_of(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) for _ in range(2)]
    return first, errors, connect(s, REFUSED), later(s, REFUSED)


@case
def non_blocking_refused_without_so_error():
    s = tcp(False)
    return connect(s, REFUSED), later(s, FAR), later(s, FAR), later(s, FAR)


@case
def a_second_connect_while_in_progress():
    s = tcp(False)
    results = connect(s, SILENT), connect(s, SILENT)
    poll = select.poll()
    poll.register(s, select.POLLIN | select.POLLOUT)
    return results, poll.poll(100)


@case
def send_timeout():
    s = tcp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300_000))
    return connect(s, SILENT), connect(s, SILENT)


@case
def half_close():
    s = tcp()
    s.connect(FAR)
    s.sendall(REQUEST)
    s.shutdown(socket.SHUT_WR)
    answer = b""
    while part := s.recv(4096):
        answer += part
    return answer[:12], outcome(lambda: s.send(b"x")), connect(s, FAR), outcome(s.getpeername)


@case
def disconnect_and_connect_again():
    s = tcp()
    s.connect(FAR)
    return raw_connect(s.fileno(), bytes(16), 16), outcome(s.getpeername), connect(s, FAR), s.getpeername()


@case
def disconnect_of_a_fresh_socket():
    s = tcp()
    return raw_connect(s.fileno(), bytes(16), 16), connect(s, FAR)


@case
def address_lengths():
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s", FAR[1], socket.inet_aton(FAR[0])) + bytes(200)
    lengths = (0, 1, 2, 15, 16, 17, 28, 110, 128, 129, 2**31 - 1, -1)
    results = []
    for length in lengths:
        with tcp() as s:
            results.append((length, raw_connect(s.fileno(), address, length)))
    return results


@case
def bad_arguments():
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s", FAR[1], socket.inet_aton(FAR[0])) + bytes(200)
    unknown = struct.pack("=H", 99) + address[2:]
    return (
        raw_connect(tcp().fileno(), ctypes.c_void_p(8), 16),
        raw_connect(999, address, 16),
        raw_connect(tempfile.TemporaryFile().fileno(), address, 16),
        raw_connect(tcp(family=socket.AF_INET6).fileno(), address, 28),
        raw_connect(tcp().fileno(), unknown, 16),
    )


@case
def v4_mapped_addresses():
    s, only = tcp(family=socket.AF_INET6), tcp(family=socket.AF_INET6)
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    mapped = ("::ffff:" + FAR[0], FAR[1])
    return connect(s, mapped), s.getpeername()[0], connect(only, mapped)


@case
def ipv6():
    s = tcp(family=socket.AF_INET6)
    return connect(s, FAR6), s.getpeername()[:2]


def registered_before_connect(mode):
    s, first, second = tcp(False), select.epoll(), select.epoll()
    first.register(s, select.EPOLLIN | select.EPOLLOUT | mode)
    second.register(s, select.EPOLLOUT)
    results = [connect(s, FAR)]
    time.sleep(SETTLED)
    results += [[events for _, events in epoll.poll(2)] for epoll in (first, second)]
    s.setblocking(True)
    s.sendall(REQUEST)
    time.sleep(SETTLED)
    if mode == select.EPOLLONESHOT:
        first.modify(s, select.EPOLLIN | mode)
    results.append([events for _, events in first.poll(2)])
    first.unregister(s)
    return results, first.poll(0.01)


@case
def epoll_level_triggered():
    return registered_before_connect(0)


@case
def epoll_edge_triggered():
    return registered_before_connect(select.EPOLLET)


@case
def epoll_one_shot():
    return registered_before_connect(select.EPOLLONESHOT)


@case
def epoll_exclusive():
    return registered_before_connect(select.EPOLLEXCLUSIVE)


@case
def epoll_nested():
    s, inner, outer = tcp(False), select.epoll(), select.epoll()
    inner.register(s, select.EPOLLOUT)
    outer.register(inner.fileno(), select.EPOLLIN)
    return connect(s, FAR), len(outer.poll(2)), [events for _, events in inner.poll(1)]


@case
def epoll_among_many():
    epoll = select.epoll()
    crowd = [os.eventfd(0) for _ in range(500)]
    for fd in crowd:
        epoll.register(fd, select.EPOLLIN)
    s = tcp(False)
    epoll.register(s, select.EPOLLOUT)
    result = connect(s, FAR), [events for _, events in epoll.poll(2)]
    for fd in crowd:
        os.close(fd)
    return result


@case
def options():
    s = tcp()
    wanted = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 60_000),
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 9999),
        (socket.IPPROTO_IP, socket.IP_TOS, 0x10),
        (socket.IPPROTO_IP, socket.IP_TTL, 33),
    ]
    for level, name, value in wanted:
        s.setsockopt(level, name, value)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    s.connect(FAR)
    return [s.getsockopt(level, name) for level, name, _ in wanted], s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)


@case
def descriptor_flags():
    results = []
    for inheritable in (False, True):
        for blocking in (True, False):
            s = tcp(blocking)
            os.set_inheritable(s.fileno(), inheritable)
            connect(s, FAR)
            time.sleep(SETTLED)
            status = fcntl.fcntl(s, fcntl.F_GETFL)
            results.append((os.get_inheritable(s.fileno()), bool(status & os.O_NONBLOCK)))
    return results


@case
def bound_source_port():
    s = tcp()
    s.bind(("0.0.0.0", 0))
    port = s.getsockname()[1]
    return connect(s, FAR), s.getsockname()[1] == port


@case
def refused_then_bind_and_listen():
    s, client = tcp(), tcp()
    results = connect(s, REFUSED), outcome(lambda: s.bind(("127.0.0.1", 0))), outcome(lambda: s.listen(1))
    return results, connect(client, s.getsockname())


@case
def refused_then_loopback():
    server, s = tcp(), tcp()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    return connect(s, REFUSED), connect(s, server.getsockname())


def unix_pair():
    path = tempfile.mktemp()
    server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    client.connect(path)
    return server, client


@case
def unix_peer_credentials():
    server, client = unix_pair()
    pid, uid, gid = struct.unpack("iii", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid == os.getpid(), uid, gid


@case
def unix_peer_pidfd():
    server, client = unix_pair()
    pidfd = client.getsockopt(socket.SOL_SOCKET, 77)  # SO_PEERPIDFD, Linux 6.5
    with open(f"/proc/self/fdinfo/{pidfd}") as info:
        return f"Pid:\t{os.getpid()}\n" in info.readlines()


for function in cases:
    try:
        print(function.__name__, "|", function(), flush=True)
    except Exception as problem:  # a case that cannot run differs from one that can
        print(function.__name__, "| raised", repr(problem), flush=True)
