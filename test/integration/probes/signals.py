"""Blocking connects in a storm of signals whose handler restarts system calls (SA_RESTART), as Go's runtime makes them.

Prints how many of the given number of requests were answered, the errors, and whether signals came at all.
"""
import collections
import signal
import socket
import sys

signals = 0


def count(*_):
    global signals
    signals += 1


signal.signal(signal.SIGALRM, count)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
answered, errors = 0, collections.Counter()
for _ in range(int(sys.argv[1])):
    with socket.socket() as s:
        try:
            s.connect(("10.99.0.1", 80))
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answered += s.recv(12) == b"HTTP/1.1 200"
        except OSError as error:
            errors[error.strerror] += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(answered, dict(errors), signals > 0)
