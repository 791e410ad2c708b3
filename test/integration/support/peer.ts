/** A peer of our sockets that says what it is told, in Python, for bad-peers.test.ts. */
export const PEER = `
import os, socket, sys, threading, time
directory = os.environ['XDG_RUNTIME_DIR'] + '/sockswitch/'

def open_socket(name, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(60)
    s.connect(directory + name + '.sock')
    return s

# Sends it all, ends its side unless more is to come, prints what comes back.
def send(name, data, fds=(), kind=socket.SOCK_STREAM, more=False):
    s = open_socket(name, kind)
    try:
        if fds:
            socket.send_fds(s, [data], list(fds))
        else:
            s.sendall(data)
        if not more: s.shutdown(socket.SHUT_WR)
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
    stay()

# One question after the other, each on a connection of its own.
def flood():
    def ask(name, data):
        while True:
            try:
                with open_socket(name) as s:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536): pass
            except OSError: pass
    get = b'GET %s HTTP/1.1\\r\\nHost: daemon\\r\\nConnection: close\\r\\n\\r\\n'
    questions = {'listener': b'rubbish', 'hook': b'{}', 'control': get % b'/v1/containers', 'metrics': get % b'/metrics'}
    for question in questions.items():
        threading.Thread(target=ask, args=question, daemon=True).start()
    stay()

def stay():
    open('/tmp/peer-is-there', 'w').close()
    time.sleep(600)
`;
