/** Small programs that several tests run in containers. */

/** Asks again until there is an answer, since datagrams may be lost. */
function udpEcho(prepare: string, send: (datagram: string) => string): readonly string[] {
  const script = `
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
${prepare}
for attempt in range(10):
    ${send("b'marco %d' % attempt")}
    try:
        print(s.recv(100).split()[0].decode())
        break
    except TimeoutError:
        pass
else:
    sys.exit('no answer')
`;
  return ['python3', '-c', script];
}

/** One UDP datagram to ADDRESS PORT; prints the answer. */
export const UDP_ECHO = udpEcho('', (datagram) => `s.sendto(${datagram}, (address, port))`);

/** The same over a connected UDP socket: its connect is trapped. */
export const UDP_CONNECTED = udpEcho(
  's.connect((address, port))',
  (datagram) => `s.send(${datagram})`,
);

/** A blocking TCP connect to ADDRESS PORT; prints "connected" or the error's name. */
export const TCP_CONNECT = [
  'python3',
  '-c',
  `
import errno, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM)
s.settimeout(None)
try:
    s.connect((address, port))
    print('connected')
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
`,
] as const;

/** A server and a client on the container's loopback (ADDRESS), in one process. */
export const TCP_LOOPBACK = [
  'python3',
  '-c',
  `
import socket, sys, threading
address = sys.argv[1]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
server = socket.socket(family)
server.bind((address, 0))
server.listen()
def serve():
    peer, _ = server.accept()
    peer.sendall(peer.recv(100).upper())
    peer.close()
threading.Thread(target=serve, daemon=True).start()
client = socket.socket(family)
client.connect(server.getsockname()[:2])
client.sendall(b'marco')
print(client.recv(100).decode())
`,
] as const;

/** ADDRESS: connects to its port 80 right after a rule that forbids it was made and unmade, in turns; how often that went against the rule. */
export const TCP_RULES: readonly string[] = [
  'python3',
  '-c',
  `
import errno, socket, struct, sys
address = sys.argv[1]
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)

def rule(kind, flags):
    prohibit = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 8, 0)
    attributes = struct.pack("=HH4s", 8, 1, socket.inet_aton(address)) + struct.pack("=HHI", 8, 6, 77)
    length = 16 + len(prohibit) + len(attributes)
    kernel.send(struct.pack("=IHHII", length, kind, flags | 5, 0, 0) + prohibit + attributes)
    assert struct.unpack_from("=i", kernel.recv(4096), 16) == (0,)

def connects():
    with socket.socket() as made:
        return made.connect_ex((address, 80))

wrong = 0
for _ in range(100):
    wrong += connects() != 0
    rule(32, 0x600)
    wrong += connects() != errno.EACCES
    rule(33, 0)
print(wrong)
`,
];

/** A server and a client of AF_UNIX, both kinds of address. */
export const UNIX_STREAM = [
  'python3',
  '-c',
  `
import os, socket, tempfile
for path in (os.path.join(tempfile.mkdtemp(), 's'), '\\0sockswitch-test'):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    peer, _ = server.accept()
    client.sendall(b'marco')
    print(peer.recv(100).decode())
    for s in (client, peer, server):
        s.close()
`,
] as const;

/** Of remote's /big (test/lab/README.md). */
export const BIG_SHA256 = '59d019013ce42b9fcfea4581650403b2869211ad281fac9eef93a665b969cf2c';

/** curl that prints the body only, over HTTP. */
export function curl(address: string, path = '/', port = 80): string[] {
  const host = address.includes(':') ? `[${address}]` : address;
  return ['curl', '-gsS', '--max-time', '60', `http://${host}:${port}${path}`];
}
