"""Threads that end while their connect is being carried out: killed, or replaced by an exec of another thread.

The main process of a container; waits for a line on /tmp/ask before each part, and writes one to /tmp/told after it. Reads the count.
"""
import os
import random
import signal
import socket
import threading
import time

FAR = ("10.99.0.1", 80)
THREADS = 4


def connect():
    with socket.socket() as s:
        s.connect(FAR)


def connect_for_ever():
    while True:
        connect()


def end_amid_connects(how):
    child = os.fork()
    if child == 0:
        for _ in range(THREADS):
            threading.Thread(target=connect_for_ever, daemon=True).start()
        time.sleep(random.uniform(0.001, 0.006))
        if how == "exec":
            os.execv("/bin/bash", ["bash", "-c", f"exec 3<>/dev/tcp/{FAR[0]}/{FAR[1]}"])
        os.kill(os.getpid(), signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    expected = 0 if how == "exec" else signal.SIGKILL
    return None if status == expected else f"{how}: status {status}"


def part(count):
    for turn in range(count):
        problem = end_amid_connects("exec" if turn % 2 else "kill")
        if problem is not None:
            return problem
    connect()
    return "done"


for name in ("/tmp/ask", "/tmp/told"):
    os.mkfifo(name)
ask = os.fdopen(os.open("/tmp/ask", os.O_RDWR), "r")
while True:
    answer = part(int(ask.readline()))
    with open("/tmp/told", "w") as told:
        print(answer, file=told)
