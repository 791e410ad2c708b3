"""A TCP socket of the container's network that another process has made, and set rare options on.

  give PATH    makes it, listens on PATH and passes it to whoever connects, once
  take PATH    gets it, connects, and prints what can be read back
"""
import array
import socket
import sys

SO_PRIORITY = 12
how, path = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as way:
    if how == "give":
        given = socket.socket()
        given.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 61)
        given.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, 5)
        way.bind(path)
        way.listen()
        to = way.accept()[0]
        number = array.array("i", [given.fileno()])
        to.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
    else:
        way.connect(path)
        _, (message,), _, _ = way.recvmsg(1, socket.CMSG_SPACE(4))
        taken = socket.socket(fileno=array.array("i", message[2])[0])
        taken.connect(("10.99.0.1", 80))
        print(
            taken.getsockopt(socket.IPPROTO_IP, socket.IP_TTL),
            taken.getsockopt(socket.SOL_SOCKET, SO_PRIORITY),
        )
