"""Sockets of the host that a container is given when it starts, and what calls on them say.

give WORD...   on the host: runs WORD... with the sockets below as descriptors 3 and on
calls          in the container: prints a line for each call, with its result or the name of the error
"""
import array, errno, fcntl, os, socket, sys

# Descriptor 3, 4, ...
NAMES = ['listening', 'pinned', 'bound', 'client', 'datagrams', 'local', 'server']
SIOCGIFCONF = 0x8912


def make(name):
    if name == 'local':
        sock = socket.socket(socket.AF_UNIX)
        sock.bind('')
    else:
        sock = socket.socket(type=socket.SOCK_DGRAM if name == 'datagrams' else socket.SOCK_STREAM)
    if name == 'pinned':
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo')
    if name in ('listening', 'pinned', 'bound', 'server'):
        sock.bind(('127.0.0.1', 0))
    if name in ('listening', 'pinned', 'server', 'local'):
        sock.listen(1)
    return sock


def give(command):
    # Out of the way of the numbers that they are to have.
    high = [fcntl.fcntl(make(name), fcntl.F_DUPFD, 50) for name in NAMES]
    for number, fd in enumerate(high, 3):
        os.dup2(fd, number)
    os.execvp(command[0], command)


def interfaces(sock):
    buffer = array.array('B', bytes(4096))
    conf = array.array('Q', [len(buffer), buffer.buffer_info()[0]])
    fcntl.ioctl(sock, SIOCGIFCONF, conf)
    return buffer[: conf[0] & 0xFFFFFFFF].tobytes()


def tell(what, call, *arguments):
    try:
        result = call(*arguments)
        print(what, 'ok' if result is None else result)
    except OSError as error:
        print(what, errno.errorcode[error.errno])


def calls():
    given = {name: socket.socket(fileno=number) for number, name in enumerate(NAMES, 3)}
    client, server = given['client'], given['server']
    tell('interfaces are those of the container:',
         lambda: interfaces(client) == interfaces(socket.socket()))
    for name in NAMES:
        if name != 'client':
            tell(f'listen on {name}:', given[name].listen, 5)
    for name in ('listening', 'pinned', 'client', 'datagrams'):
        tell(f'bind {name}:', given[name].bind, ('127.0.0.1', 0))
    for name in ('listening', 'pinned', 'client'):
        tell(f'connect {name}:', given[name].connect, server.getsockname())
    # Whatever the container publishes: these are not its services.
    for name in NAMES:
        tell(f'name of {name}:', lambda: given[name].getsockname()[0])
    tell("port of server is the host's:", lambda: server.getsockname() == client.getpeername())
    tell('accept:', lambda: server.accept()[1] == client.getsockname())


if sys.argv[1] == 'give':
    give(sys.argv[2:])
calls()
