"""The main process of a container: connects as it is asked to over a FIFO, so that all calls come from one process tree.

Reads lines "CASE COUNT" from /tmp/ask and answers each with a line on /tmp/told: "done", or what went wrong.
"""
import ctypes
import os
import resource
import select
import socket
import time

FAR, FAR6 = ("10.99.0.1", 80), ("fd99::1", 80)
CLONE_NEWNET = 0x40000000


def blocking(domain, to):
    with socket.socket(domain) as s:
        s.connect(to)


def non_blocking(register):
    poller = select.epoll()
    for other in others:
        poller.register(other, select.EPOLLIN)
    with socket.socket() as s:
        s.setblocking(False)
        if register == "before":
            poller.register(s, select.EPOLLIN | select.EPOLLOUT)
        s.connect_ex(FAR)
        if register == "after":
            poller.register(s, select.EPOLLIN | select.EPOLLOUT)
        ready = [fd for fd, _ in poller.poll(5)]
        assert s.fileno() in ready, "no event"
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    poller.close()


def kept_set(register):
    """As an event loop does: one set for all connections."""
    with socket.socket() as s:
        s.setblocking(False)
        if register == "before":
            kept.register(s, select.EPOLLIN | select.EPOLLOUT)
        s.connect_ex(FAR)
        if register == "after":
            kept.register(s, select.EPOLLIN | select.EPOLLOUT)
        assert s.fileno() in [fd for fd, _ in kept.poll(5)], "no event"
        kept.unregister(s)


def large_set(connects):
    """As an event loop with thousands of connections does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    members = [os.eventfd(0) for _ in range(3000)]
    for member in members:
        kept.register(member, select.EPOLLIN)
    for _ in range(connects):
        kept_set("before")
    for member in members:
        os.close(member)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def unix(_):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(listening_unix.getsockname())
    listening_unix.accept()[0].close()


def loopback(_):
    with socket.socket() as s:
        s.connect(listening.getsockname())
    listening.accept()[0].close()


def nested(_):
    with socket.socket() as s:
        try:
            s.connect(("127.0.0.1", 9))
        except OSError:
            pass


def enter_nested():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


SO_PRIORITY = 12


def set_rare(_):
    made_before.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, 3)


def connect_rare(_):
    made_before.connect(FAR)
    assert made_before.getsockopt(socket.SOL_SOCKET, SO_PRIORITY) == 3, "not carried over"


CASES = {
    "ipv4": lambda _: blocking(socket.AF_INET, FAR),
    "ipv6": lambda _: blocking(socket.AF_INET6, FAR6),
    "before": lambda _: kept_set("before"),
    "after": lambda _: kept_set("after"),
    "large-set": lambda _: large_set(200),
    "new-set": lambda _: non_blocking("before"),
    "unix": unix,
    "loopback": loopback,
    "nested": nested,
    "set-rare": set_rare,
    "connect-rare": connect_rare,
}

others = []
made_before = socket.socket()
listening = socket.create_server(("127.0.0.1", 0))
# A length that no Internet address has.
path = "/tmp/a-socket-with-a-rather-long-name"
listening_unix = socket.socket(socket.AF_UNIX)
listening_unix.bind(path)
listening_unix.listen(16)

for name in ("/tmp/ask", "/tmp/told"):
    os.mkfifo(name)
# Open for writing, too, so that it never ends.
ask = os.fdopen(os.open("/tmp/ask", os.O_RDWR), "r")
kept = select.epoll()
while True:
    case, count = ask.readline().split()
    answer = "done"
    try:
        if case == "enter-nested":
            enter_nested()
        else:
            for _ in range(int(count)):
                CASES[case](None)
                time.sleep(0.005)  # so that the daemon finds time to make sockets ahead
    except Exception as error:  # whoever asked is to be told
        answer = repr(error)
    with open("/tmp/told", "w") as told:
        print(answer, file=told)
