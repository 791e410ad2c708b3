/** A peer of our sockets that says what it is told, in Python, for bad-peers.test.ts. */
export const PEER = `
import os, socket, sys, time
directory = os.environ['XDG_RUNTIME_DIR'] + '/sockswitch/'

def open_socket(name, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(60)
    s.connect(directory + name + '.sock')
    return s

# Sends it all, ends its side, prints what comes back.
def send(name, data, fds=(), kind=socket.SOCK_STREAM):
    s = open_socket(name, kind)
    try:
        if fds:
            socket.send_fds(s, [data], list(fds))
        else:
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = b''
    try:
        while True:
            part = s.recv(65536)
            if not part: break
            answer += part
    except ConnectionResetError:
        pass
    print(answer.decode(errors='replace'))

def request(method, path, body=''):
    lines = [f'{method} {path} HTTP/1.1', 'Host: daemon', 'Connection: close']
    if body: lines += ['Content-Type: application/json', f'Content-Length: {len(body)}']
    send('control', ('\\r\\n'.join(lines) + '\\r\\n\\r\\n' + body).encode())

def hang(count):
    sockets = [open_socket(name) for name in ('listener', 'hook', 'control') for _ in range(count)]
    open('/tmp/peer-hangs', 'w').close()
    time.sleep(600)
`;
