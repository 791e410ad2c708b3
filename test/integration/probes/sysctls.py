"""Connects, several times over each family, and prints what sysctls of the namespace decide about a socket."""
import socket

FAR = (("10.99.0.1", 80), ("fd99::1", 80))
OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_SYNCNT),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_IP, socket.IP_TTL),
)

for address in FAR:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    ports = []
    for _ in range(20):
        with socket.socket(family) as s:
            s.connect(address)
            ports.append(s.getsockname()[1])
            read = [s.getsockopt(*option) for option in OPTIONS]
            read.append(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode())
    print(all(40000 <= port <= 40100 for port in ports), *read, flush=True)
