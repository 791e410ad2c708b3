"""The witness on remote: looks at the host from outside, then asks host.py. Arguments: the host's IPv4 and IPv6 address."""
import socket
import sys
import threading

HOST4, HOST6 = sys.argv[1:3]


def reachable(port):
    for address in (HOST4, HOST6):
        try:
            socket.create_connection((address, port), timeout=1).close()
            return True
        except OSError:
            pass
    return False


def send_datagrams(port):
    for family, address in ((socket.AF_INET, HOST4), (socket.AF_INET6, HOST6)):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(b"WITNESS", (address, port))
            except OSError:
                pass


def ask_host(line):
    with socket.create_connection((HOST4, 18003)) as host, host.makefile("rw") as lines:
        lines.write(line)
        lines.flush()
        return lines.readline().strip()


def answer(connection):
    with connection, connection.makefile("rw") as lines:
        line = lines.readline()
        what, argument = line.split()
        if what == "udp":
            send_datagrams(int(argument))
        outside = "open-from-remote" if what in ("tcp", "open") and reachable(int(argument)) else ""
        lines.write((outside or ask_host(line)) + "\n")


server = socket.create_server(("0.0.0.0", 18003), backlog=1024)
while True:
    accepted, _ = server.accept()
    threading.Thread(target=answer, args=(accepted,), daemon=True).start()
