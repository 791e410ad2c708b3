"""What a program sees that restricts itself by Landlock, a line a case.

    landlock.py connect ADDRESS PORT [KEEP]   a connect before and after; with KEEP, that is without no_new_privs
    landlock.py bind PORT                     a bind after
    landlock.py exec COMMAND...               the command, which may do everything that it does with TCP
    landlock.py abi                           the kernel's version of Landlock, 0 if it has none
"""
import ctypes
import errno
import os
import socket
import struct
import sys

CREATE, RESTRICT = 444, 446
VERSION = 1
BIND_TCP, CONNECT_TCP = 1, 2
MAKE_SOCK = 1 << 9  # in the file system
PR_SET_NO_NEW_PRIVS = 38

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result


def restrict(keep, tcp=BIND_TCP | CONNECT_TCP):
    attributes = struct.pack("QQ", 0 if tcp else MAKE_SOCK, tcp)
    ruleset = call(CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if not keep:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call(RESTRICT, ruleset, 0)


def outcome(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def connect(address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.connect((address, port))


def bind(port):
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", port))


what = sys.argv[1]
if what == "abi":
    try:
        print(call(CREATE, None, 0, VERSION))
    except OSError:
        print(0)
elif what == "connect":
    to = sys.argv[2], int(sys.argv[3])
    print("before", outcome(lambda: connect(*to)))
    print("restrict", outcome(lambda: restrict(len(sys.argv) > 4)))
    print("after", outcome(lambda: connect(*to)))
    print("child", end=" ", flush=True)
    os.execv(sys.executable, [sys.executable, "-c", f"""
import errno, socket
try:
    socket.create_connection({to!r})
    print('ok')
except OSError as error:
    print(errno.errorcode[error.errno])
"""])
elif what == "exec":
    restrict(False, tcp=0)
    os.execvp(sys.argv[2], sys.argv[2:])
elif what == "bind":
    print("before", outcome(lambda: bind(int(sys.argv[2]))))
    print("restrict", outcome(lambda: restrict(False)))
    print("after", outcome(lambda: bind(int(sys.argv[2]))))
