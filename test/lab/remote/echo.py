"""TCP and UDP echo on port 7, both families."""

import asyncio
import socket


class UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def tcp_echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def udp_socket(family, address):
    # One socket per local address: a wildcard socket could answer from another one of remote's addresses.
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 7))
    sock.setblocking(False)
    return sock


async def main():
    loop = asyncio.get_running_loop()
    for address in ("10.77.0.1", "10.77.0.100", "10.99.0.1"):
        await loop.create_datagram_endpoint(UdpEcho, sock=udp_socket(socket.AF_INET, address))
    for address in ("fd77::1", "fd77::100", "fd99::1"):
        await loop.create_datagram_endpoint(UdpEcho, sock=udp_socket(socket.AF_INET6, address))
    server = await asyncio.start_server(tcp_echo, host=None, port=7, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
