"""A file whose close(2) never returns: of a FUSE file system that answers everything but FLUSH.

Prints "mounted". Then connects by a descriptor of that file, so that whoever fetches and closes it waits.
Needs /dev/fuse and CAP_SYS_ADMIN in the container.
"""
import ctypes
import os
import socket
import struct
import time

LOOKUP, GETATTR, OPEN, FLUSH, INIT = 1, 3, 14, 25, 26
FILE, ROOT = 2, 1

libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
os.makedirs("/tmp/mount", exist_ok=True)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
if libc.mount(b"fuse", b"/tmp/mount", b"fuse", 0, options.encode()) != 0:
    raise OSError(ctypes.get_errno(), "mount")


def attributes(node):
    mode, links = (0o40755, 2) if node == ROOT else (0o100644, 1)
    return struct.pack("QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def serve():
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = struct.unpack_from("IIQQ", request)
        if opcode == FLUSH:
            continue
        error, body = -38, b""
        if opcode == INIT:
            error, body = 0, struct.pack("IIIIHHIIHHIIHH20x", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, 0, 0, 0, 0)
        elif opcode == LOOKUP:
            error, body = 0, struct.pack("QQQQII", FILE, 0, 1000, 1000, 0, 0) + attributes(FILE)
        elif opcode == GETATTR:
            error, body = 0, struct.pack("QII", 1000, 0, 0) + attributes(node)
        elif opcode == OPEN:
            error, body = 0, struct.pack("QII", 1, 0, 0)
        os.write(device, struct.pack("IiQ", 16 + len(body), error, unique) + body)


# A process of its own: its end is the end of the file system, and of all who wait for it.
if os.fork() == 0:
    serve()
os.close(device)
file = os.open("/tmp/mount/file", os.O_RDONLY)
print("mounted", flush=True)
address = struct.pack("!HHI8x", 0, 80, 0x0A630001)
address = struct.pack("H", socket.AF_INET) + address[2:]
libc.connect(file, address, len(address))
print("answered", flush=True)
while True:
    time.sleep(60)
