"""The victims on the host, and a look at its ports from the inside. Arguments: the host's IPv4 and IPv6 address.

TCP and UDP services greet with where they listen: 18001 on 127.0.0.1 and ::1 only, 18002 on the given addresses only. An abstract
Unix socket of each type. Port 18003 on the IPv4 address answers remote.py: "tcp PORT", "udp PORT", "datagram TOKEN", "group ADDRESS".
"""
import socket
import sys
import threading

HOST4, HOST6 = sys.argv[1:3]
seen = set()
kept = []


def listen(family, address, port, serve):
    server = socket.create_server((address, port), family=family, backlog=1024)
    threading.Thread(target=accept, args=(server, serve), daemon=True).start()


def accept(server, serve):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def greeter(text):
    def serve(connection):
        with connection:
            try:
                connection.sendall(text)
                connection.recv(100)
            except OSError:
                pass

    return serve


def datagrams(family, address, port, text, remember):
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, port))

    def run():
        while True:
            data, peer = server.recvfrom(4096)
            if remember:
                seen.add(data.decode("latin-1"))
            try:
                server.sendto(text, peer)
            except OSError:
                pass

    threading.Thread(target=run, daemon=True).start()


def taken(port, kind):
    """Whether somebody has the port, listening or not."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return True
    return False


def connectable(port):
    for address in ("127.0.0.1", HOST4, "::1", HOST6):
        try:
            socket.create_connection((address, port), timeout=1).close()
            return True
        except OSError:
            pass
    return False


def in_group(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    if family == socket.AF_INET:
        text, path, column = raw[::-1].hex().upper(), "/proc/net/igmp", 0
    else:
        text, path, column = raw.hex(), "/proc/net/igmp6", 2
    with open(path, encoding="ascii") as lines:
        return any(len(words) > column and words[column] == text for words in map(str.split, lines))


def answer(connection):
    with connection, connection.makefile("rw") as lines:
        what, argument = lines.readline().split()
        if what == "tcp":
            port = int(argument)
            # Ports that the kernel gives out by itself may be taken by anybody's connection.
            result = "open-on-host" if connectable(port) else "taken" if port < 32768 and taken(port, socket.SOCK_STREAM) else "closed"
        elif what == "open":
            result = "open-on-host" if connectable(int(argument)) else "closed"
        elif what == "udp":
            result = "taken" if int(argument) < 32768 and taken(int(argument), socket.SOCK_DGRAM) else "closed"
        elif what == "datagram":
            result = "seen" if argument in seen else "unseen"
        elif what == "group":
            result = "member" if in_group(argument) else "absent"
        else:
            result = "what?"
        lines.write(result + "\n")


for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    listen(family, address, 18001, greeter(b"HOST-LOOPBACK\n"))
    datagrams(family, address, 18001, b"HOST-LOOPBACK\n", True)
for family, address in ((socket.AF_INET, HOST4), (socket.AF_INET6, HOST6)):
    listen(family, address, 18002, greeter(b"HOST-LAN\n"))
    datagrams(family, address, 18002, b"HOST-LAN\n", False)
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    victim = socket.socket(socket.AF_UNIX, kind)
    # Abstract names are one space for all types.
    victim.bind(b"\0sockswitch-victim" + {1: b"", 2: b"-dgram", 5: b"-seqpacket"}[int(kind)])
    if kind != socket.SOCK_DGRAM:
        victim.listen()
    kept.append(victim)
listen(socket.AF_INET, HOST4, 18003, answer)
threading.Event().wait()
