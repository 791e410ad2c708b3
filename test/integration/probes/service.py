"""A service that tells each client who it is. Arguments: KIND ADDRESS PORT [OPTION...].

KIND: tcp, udp. Options: reuseport (a worker that shares the port), once (ends after one client), mptcp (as Go's
listeners since 1.24), v6only (IPv4 has a socket of its own).
Prints "listening", or the name of the error.
"""
import errno, socket, sys

kind, address, port, *options = sys.argv[1:]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
protocol = 262 if 'mptcp' in options else 0
sock = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM, protocol)
if 'v6only' in options and family == socket.AF_INET6:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
if 'reuseport' in options:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try:
    sock.bind((address, int(port)))
    if kind == 'tcp':
        sock.listen()
except OSError as error:
    sys.exit(errno.errorcode[error.errno])
print('listening', sock.getsockname()[1], flush=True)
while True:
    if kind == 'udp':
        data, client = sock.recvfrom(65536)
        sock.sendto(b'%s %d' % (client[0].encode(), len(data)), client)
        continue
    connection, client = sock.accept()
    connection.sendall(client[0].encode() + b'\n')
    connection.close()
    if 'once' in options:
        break
