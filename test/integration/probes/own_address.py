# What a program does with its connection's own address: binds other sockets to it. ADDRESS... of a machine whose ports 7 echo.
import errno
import socket
import sys


def attempt(name, function):
    try:
        print(name, function(), flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)


def echoed(sock):
    sock.settimeout(10)
    sock.send(b"echo")
    return sock.recv(4).decode()


for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    control = socket.create_connection((address, 7))
    own = control.getsockname()[0]

    def bound(kind, to=own):
        sock = socket.socket(family, kind)
        sock.bind((to, 0))
        return sock

    def listens():
        server = bound(socket.SOCK_STREAM)
        server.listen(1)
        client = socket.create_connection(server.getsockname()[:2])
        accepted, (peer, *_) = server.accept()
        accepted.send(b"in")
        return client.recv(2).decode(), peer == accepted.getsockname()[0]

    def connects(kind):
        sock = bound(kind)
        sock.connect((address, 7))
        return echoed(sock)

    def mapped():
        sock = socket.socket(socket.AF_INET6)
        sock.bind((f"::ffff:{own}", 0))
        sock.connect((f"::ffff:{address}", 7))
        return echoed(sock)

    def twice():
        first = bound(socket.SOCK_STREAM)
        socket.socket(family).bind((own, first.getsockname()[1]))

    def connected():
        control.bind((own, 0))

    attempt("listen", listens)
    attempt("connect", lambda: connects(socket.SOCK_STREAM))
    attempt("datagrams", lambda: connects(socket.SOCK_DGRAM))
    if family == socket.AF_INET:
        attempt("v4-mapped", mapped)
    attempt("the port again", twice)
    attempt("the connection", connected)
    attempt("another machine's", lambda: bound(socket.SOCK_STREAM, address))
