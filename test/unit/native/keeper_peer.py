"""Plays the keeper's peers for keeper.test.ts: OCI runtimes, containers and daemons.

Node cannot pass descriptors. Reads one JSON command a line from stdin and answers each with one JSON line:
an object, with "error" where the command failed. Things that commands make are numbered.

    {"do": "container"}                      a process under a filter that traps system call 999 -> {"container": N}
    {"do": "trap", "container": N}           let it make the trapped call
    {"do": "end", "container": N}            let it end -> {"status": what the trapped call returned}
    {"do": "runtime", "path": P, "text": T, "containers": [N...], "files": 0, "hold": false}
                                             connect, send T with these listeners (and that many descriptors of
                                             /dev/null); wait until the keeper hangs up, or with hold:
                                             -> {"peer": N} and stay
    {"do": "more", "peer": N, "text": T, "containers": []}
                                             send more text, with these listeners
    {"do": "hangup", "peer": N}
    {"do": "daemon", "path": P, "keep": false}    connect as daemon, and keep the listening socket of kHello
                                             -> {"peer": N}
    {"do": "receive", "peer": N, "count": C, "timeout": S}
                                             up to C messages -> {"messages": [{type, id, text, listeners}], "end": bool}
                                             kHello is not among them; the text of a listener is its record's
    {"do": "readable", "peer": N}            wait until there is something to receive
    {"do": "hello", "peer": N}               what kHello said -> {"version": V, "listening": path}
    {"do": "hold", "peer": N, "from": M, "id": I}    give the keeper the last listener received from M
                                             (with "plain": /dev/null instead)
    {"do": "keeper", "peer": N, "program": P, "directory": D}
                                             start a keeper with the listening socket that kHello gave N
    {"do": "answer", "peer": N, "value": V}  answer one notification on the last listener received there
    {"do": "order", "peer": N, "type": T, "id": I, "text": "", "files": 0}
                                             send a header, with text and that many descriptors of /dev/null
"""

import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

HEADER = struct.Struct("=IIQII")
MAGIC = 0x73777631
LISTENER, HELLO, HOLD = 1, 10, 11
RECORD = struct.Struct("=IIII")
RECORD_MAGIC = 0x73777272
TRAPPED = 999
NOTIF_RECV = 0xC0502100
NOTIF_SEND = 0xC0182101
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def install_filter():
    """Returns the listener of a filter that traps TRAPPED and allows everything else."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    instructions = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the number
            (0x15, 0, 1, TRAPPED),
            (0x06, 0, 0, 0x7FC00000),  # SECCOMP_RET_USER_NOTIF
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    buffer = ctypes.create_string_buffer(instructions)
    program = Program(4, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "prctl")
    # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
    fd = libc.syscall(SYS_SECCOMP, 1, 8, ctypes.byref(program))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return fd


class Container:
    """A child that sends its listener here, makes the trapped call on "t", ends on anything else."""

    def __init__(self):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.closerange(3, theirs.fileno())  # what belongs to other peers here
                os.closerange(theirs.fileno() + 1, 4096)
                fd = install_filter()
                socket.send_fds(theirs, [b"x"], [fd])
                os.close(fd)
                result = 0
                while theirs.recv(1) == b"t":
                    result = libc.syscall(TRAPPED)
                    if result < 0:
                        result = ctypes.get_errno()
                os._exit(result & 0xFF)
            finally:
                os._exit(255)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(self.ours, 1, 1)
        self.listener = fds[0]

    def close_listener(self):
        if self.listener >= 0:
            os.close(self.listener)
        self.listener = -1

    def end(self):
        self.close_listener()
        self.ours.send(b"q")
        self.ours.close()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class Peer:
    def __init__(self, path, kind):
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.connect(path)
        self.listener = -1
        self.record = -1
        self.hello = None
        self.keep = False
        self.listening = None

    def take(self, fds):
        """Keeps the descriptors of one message instead of those of the one before."""
        self.drop()
        self.listener, self.record = (fds + [-1, -1])[:2]

    def drop(self):
        for fd in (self.listener, self.record):
            if fd >= 0:
                os.close(fd)
        self.listener = self.record = -1

    def close(self):
        self.socket.close()
        self.drop()


things = []
keepers = []


def number(thing):
    things.append(thing)
    return len(things) - 1


def send_with_descriptors(peer, text, fds):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = peer.socket.sendmsg([text], rights) if text else 0
    if sent < len(text):
        peer.socket.sendall(text[sent:])


def do_container(command):
    return {"container": number(Container())}


def do_trap(command):
    things[command["container"]].ours.send(b"t")
    return {}


def do_end(command):
    return {"status": things[command["container"]].end()}


def do_runtime(command):
    peer = Peer(command["path"], socket.SOCK_STREAM)
    containers = [things[n] for n in command.get("containers", [])]
    null = os.open("/dev/null", os.O_RDONLY)
    fds = [c.listener for c in containers] + [null] * command.get("files", 0)
    try:
        send_with_descriptors(peer, command.get("text", "").encode(), fds)
    finally:
        os.close(null)
        for container in containers:
            container.close_listener()
    if command.get("hold"):
        return {"peer": number(peer)}
    peer.socket.shutdown(socket.SHUT_WR)
    try:
        peer.socket.recv(1)
    except ConnectionResetError:
        pass
    peer.close()
    return {}


def do_more(command):
    containers = [things[n] for n in command.get("containers", [])]
    fds = [container.listener for container in containers]
    send_with_descriptors(things[command["peer"]], command["text"].encode(), fds)
    for container in containers:
        container.close_listener()
    return {}


def do_keeper(command):
    listening = things[command["peer"]].listening.fileno()
    arguments = ["--runtime-dir", command["directory"], "--listening-socket", str(listening)]
    keepers.append(subprocess.Popen([command["program"], *arguments], pass_fds=[listening]))
    return {"pid": keepers[-1].pid}


def do_hangup(command):
    things[command["peer"]].close()
    return {}


def do_daemon(command):
    peer = Peer(command["path"], socket.SOCK_SEQPACKET)
    peer.keep = command.get("keep", False)
    return {"peer": number(peer)}


def do_receive(command):
    peer = things[command["peer"]]
    deadline = time.monotonic() + command.get("timeout", 2)
    messages = []
    while len(messages) < command["count"]:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([peer.socket], [], [], left)[0]:
            return {"messages": messages, "end": False}
        data, fds, flags, _ = socket.recv_fds(peer.socket, 256 * 1024, 8)
        if not data:
            return {"messages": messages, "end": True}
        magic, kind, ident, length, _ = HEADER.unpack_from(data)
        assert magic == MAGIC and flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) == 0
        text = data[HEADER.size :].decode()
        assert length == len(data) - HEADER.size
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        listeners = sum(link == "anon_inode:seccomp notify" for link in links)
        if kind == HELLO:
            listening = socket.socket(fileno=fds[0])
            peer.hello = {"version": ident, "listening": listening.getsockname()}
            if peer.keep:
                peer.listening = listening
            else:
                listening.close()
            continue
        if kind == LISTENER:
            peer.take(fds)
            record = os.pread(peer.record, 4096 + 256 * 1024, 0)
            magic, version, offset, size = RECORD.unpack_from(record)
            assert magic == RECORD_MAGIC and version == 1 and len(record) == offset + size
            text = record[offset:].decode()
        messages.append({"type": kind, "id": ident, "text": text, "listeners": listeners})
    return {"messages": messages, "end": False}


def do_readable(command):
    if not select.select([things[command["peer"]].socket], [], [], 2)[0]:
        raise TimeoutError("nothing to receive")
    return {}


def do_answer(command):
    listener = things[command["peer"]].listener
    if not select.select([listener], [], [], 2)[0]:
        raise TimeoutError("no notification")
    request = bytearray(80)
    fcntl.ioctl(listener, NOTIF_RECV, request)
    (ident,) = struct.unpack_from("=Q", request)
    fcntl.ioctl(listener, NOTIF_SEND, struct.pack("=QqiI", ident, command["value"], 0, 0))
    return {}


def do_hello(command):
    return things[command["peer"]].hello


def do_hold(command):
    source = things[command["from"]]
    header = HEADER.pack(MAGIC, HOLD, command["id"], 0, 0)
    fds = [source.listener, source.record]
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        plain = command.get("plain")
        socket.send_fds(things[command["peer"]].socket, [header], [null, null] if plain else fds)
    finally:
        os.close(null)
    return {}


def do_order(command):
    text = command.get("text", "").encode()
    header = HEADER.pack(command.get("magic", MAGIC), command["type"], command["id"], len(text), 0)
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        send_with_descriptors(things[command["peer"]], header + text, [null] * command.get("files", 0))
    finally:
        os.close(null)
    return {}


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = globals()["do_" + request["do"]](request)
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
for keeper in keepers:
    keeper.kill()
    keeper.wait()
for thing in things:
    if isinstance(thing, Container):
        try:
            os.kill(thing.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
