/**
 * Tunnels and those who mean ill (docs/threat-model.md): a peer that proves its way and then sends what it likes, and a container that
 * meddles with tap, rule, routes and remotes. What comes out of the tap is at most what the fallback network would have brought:
 * UDP from the peer's own address to the tunnel's port.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { daemonPid } from '../integration/support/daemon.js';
import {
  describeOnLab,
  eventually,
  HOST1,
  HOST2,
  host1,
  host2,
  listens,
  REMOTE,
  remote,
} from '../integration/support/lab.js';
import { ENABLED, startContainer } from '../integration/support/podman.js';
import {
  carried,
  type Node,
  PORT,
  removeNodes,
  startNodes,
  tunnelsOf,
} from '../integration/support/tunnels.js';

/** Speaks the wire format (native/tunnel/wire.h) as far as is needed to prove a way. */
const PEER = `
import os, random, socket, struct, sys, time
magic = b'sockswitch\\0\\0'
def message(kind, body, flags=0, port=4242, segment=0, start=0, offset=0, network=0, gso=0, size=None):
    return struct.pack('!BBHHHHHHBB', kind, flags, len(body) if size is None else size, port, segment, start, offset, network, gso, 0) + body
def control(kind, body): return message(kind, body, port=0)
def connect():
    s = socket.create_connection(('${HOST2.v4}', ${PORT}), source_address=('${REMOTE.v4}', 0))
    s.settimeout(5)
    return s
def prove(nonce):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(('${REMOTE.v4}', 0))
    u.sendto(bytes(8) + magic + nonce, ('${HOST2.v4}', ${PORT}))
def greet(nonce):
    s = connect()
    s.sendall(control(1, magic + struct.pack('!HH', 1, 0) + nonce))
    return s
def proved():
    nonce = os.urandom(16)
    s = greet(nonce)
    got = s.recv(1000)
    assert got[0] == 2, got
    for _ in range(20):
        prove(nonce)
        try:
            s.settimeout(0.5)
            if s.recv(1000)[0] == 4: break
        except TimeoutError: pass
    else: raise SystemExit('not proved')
    s.settimeout(5)
    return s
def ended(s):
    try:
        return s.recv(1000) == b''
    except ConnectionError: return True
    except TimeoutError: return False
vxlan = b'\\x08' + bytes(3) + b'\\0\\0\\1\\0'
def inner(size): return vxlan + bytes(12) + b'\\x08\\0' + b'\\x45' + os.urandom(size)
`;

const WRONG = `${PEER}
body = inner(200)
wrong = {
    'rubbish': os.urandom(4096),
    'unknown type': message(9, body),
    'hello again': control(1, magic + struct.pack('!HH', 1, 0) + bytes(16)),
    'ready': control(2, bytes(8)),
    'proved': control(4, bytes(16)),
    'empty': message(6, b''),
    'too long': message(6, b'', size=65535) + bytes(65535),
    'flags': message(6, body, flags=255),
    'checksum outside': message(6, body, flags=1, start=220, offset=16),
    'checksum far outside': message(6, body, flags=1, start=65535, offset=65535),
    'segments of nothing': message(6, body, flags=1, start=42, offset=16, network=22, gso=1),
    'segments of UDP': message(6, body, flags=1, segment=100, start=42, offset=16, network=22, gso=5),
    'network in front': message(6, body, flags=1, segment=100, start=42, offset=16, network=1, gso=1),
    'network behind': message(6, body, flags=1, segment=100, start=42, offset=16, network=199, gso=1),
    'probes': control(3, bytes(16)) * 100,
}
for name, data in wrong.items():
    s = proved()
    try: s.sendall(data)
    except ConnectionError: pass
    print(name, 'ended' if ended(s) else 'STAYS')
    s.close()
s = proved()
s.sendall(message(6, body, size=60000)[:100]) # half a frame
s.close()
print('half', 'ended')`;

const RANDOM = `${PEER}
r = random.Random(17)
s = proved()
for _ in range(3000):
    size = r.choice((1, 8, 60, 300, 1400, 9000, 40000, 65507))
    body = inner(max(0, size - 23))[:size] if size > 23 else bytes(size)
    size = len(body)
    fields = {}
    if r.random() < 0.7 and size > 100:
        start = r.randrange(0, size - 30)
        fields = dict(flags=1, start=start, offset=r.randrange(0, size - start - 2))
        if r.random() < 0.7 and start >= 68:
            fields.update(gso=r.choice((1, 4, 0x81, 0x84)), segment=r.choice((1, 8, 100, 1400, 65535)),
                          network=r.randrange(8, start - 40 + 1))
    s.sendall(message(6, body, port=r.randrange(65536), **fields))
s.settimeout(1)
try: alive = s.recv(10) != b''
except TimeoutError: alive = True
print('alive' if alive else 'ended')`;

const STOLEN = `${PEER}
nonce = bytes(range(16))
thief = greet(nonce)
assert thief.recv(1000)[0] == 2
# A nonce that is proved is good once, and for nobody else.
owner = greet(nonce)
assert owner.recv(1000)[0] == 2
prove(nonce)
answers = []
for s in (thief, owner):
    s.settimeout(2)
    try: answers.append(s.recv(1000)[0])
    except TimeoutError: answers.append(0)
print(sorted(answers))
first = thief if answers and answers[0] == 4 else owner
time.sleep(16) # longer than a proof holds
prove(nonce) # again
print('replay', 'ended' if ended(first) else 'STAYS')`;

/** The proof comes to another container of the same host. */
const ASTRAY = `${PEER}
nonce = os.urandom(16)
s = greet(nonce)
assert s.recv(1000)[0] == 2
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('${REMOTE.v4}', 0))
s.settimeout(0.5)
answer = b''
for _ in range(8):
    u.sendto(bytes(8) + magic + nonce, ('${HOST2.v4}', int(sys.argv[1])))
    try:
        answer = s.recv(1000)
        break
    except TimeoutError: pass
print('proved' if answer[:1] == b'\\x04' else 'not proved')`;

/** The proof comes from another container, which has heard the nonce. */
const HEARD = 'bytes(range(16, 32))';
const WAITS = `${PEER}
s = greet(${HEARD})
assert s.recv(1000)[0] == 2
s.settimeout(5)
try: answer = s.recv(1000)
except TimeoutError: answer = b''
print('proved' if answer[:1] == b'\\x04' else 'not proved')`;
const HEARS = `
import socket, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(40):
    u.sendto(bytes(8) + b'sockswitch\\0\\0' + ${HEARD}, ('${HOST2.v4}', ${PORT}))
    time.sleep(0.2)`;

/** In the peer's container: what comes by the tap from others than host1, as lines "protocol source port". */
const WATCH = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
seen = set()
print('ready', file=open('/tmp/watch', 'w'))
while True:
    packet, (name, _, kind, *_) = s.recvfrom(65536)
    if not name.startswith('ssw') or kind == 4 or packet[0] >> 4 != 4: continue
    source = socket.inet_ntoa(packet[12:16])
    if source == '${HOST1.v4}': continue
    at = (packet[0] & 15) * 4
    line = f'{packet[9]} {source} {int.from_bytes(packet[at + 2:at + 4])}'
    if line not in seen:
        seen.add(line)
        print(line, file=open('/tmp/watched', 'a'))`;

describeOnLab('ill-meaning', () => {
  let nodes: readonly [Node, Node];
  let daemons: readonly number[];
  const pids = async () => [await daemonPid(host1), await daemonPid(host2)];
  beforeAll(async () => {
    nodes = await startNodes();
    await carried(nodes[0]);
    await carried(nodes[1]);
    const { container } = nodes[1];
    await container.output(['tee', '/tmp/watch.py'], { stdin: WATCH });
    await container.serve('exec python3 /tmp/watch.py', '[ -s /tmp/watch ]');
  });
  beforeEach(async () => {
    daemons = await pids();
  });
  afterEach(async () => {
    expect(await pids()).toEqual(daemons);
    await carried(nodes[0]);
    await carried(nodes[1]);
    const ping = await nodes[0].inPod(`ping -q -c 1 -w 20 ${nodes[1].pod}`);
    expect(ping.status, ping.stdout).toBe(0);
  });
  afterAll(() => removeNodes(nodes));

  const runPeer = async (script: string) => {
    const result = await remote.run(['python3', '-'], { stdin: script });
    expect(result.status, result.stderr).toBe(0);
    return result.stdout;
  };

  test('peers that break the wire format lose the connection', async () => {
    const lines = (await runPeer(WRONG)).trim().split('\n');
    expect(lines).toHaveLength(16);
    expect(lines.filter((line) => !line.endsWith(' ended'))).toEqual([]);
  });

  test('what a proved peer brings is UDP to the port, from its own address', async () => {
    expect(await runPeer(RANDOM)).toBe('alive\n');
    const { container } = nodes[1];
    const seen = await container.output(['sort', '-u', '/tmp/watched']);
    expect(seen).toBe(`17 ${REMOTE.v4} ${PORT}\n`);
  });

  test('a nonce that somebody else has heard, or that is said again', async () => {
    expect(await runPeer(STOLEN)).toBe('[0, 4]\nreplay ended\n');
  });

  test('a proof that comes to another container, or from one', async () => {
    const port = 4_790;
    const other = await startContainer({
      annotations: ENABLED,
      args: ['--cap-add=NET_ADMIN', `--publish=${port}:${port}/udp`],
      host: host2,
    });
    const device = `ip link add vx0 type vxlan id 5 dstport ${port} remote ${REMOTE.v4} nolearning; ip link set vx0 up`;
    await other.output(['sh', '-c', device]);
    await eventually('its tunnel is looked after', async () =>
      (await host2.sh(listens(port))).status === 0 ? true : undefined,
    );
    const astray = await remote.run(['python3', '-', String(port)], { stdin: ASTRAY });
    expect(astray, astray.stderr).toMatchObject({ status: 0, stdout: 'not proved\n' });
    await other.remove();

    const stranger = await startContainer({ host: host1 });
    const [waits] = await Promise.all([
      runPeer(WAITS),
      stranger.output(['python3', '-'], { stdin: HEARS }),
    ]);
    expect(waits).toBe('not proved\n');
    await stranger.remove();
  });

  test('a container that takes rule and route', async () => {
    const [{ container, inPod }, far] = nodes;
    const show = 'ip rule; ip route show table all';
    const take = 'ip route flush table all proto 115; ip rule delete priority 30000';
    const taken = await container.output(['sh', '-c', `${take}; ${show}`]);
    expect(taken).not.toMatch(/proto 115|dport/);
    const ping = await inPod(`ping -q -c 1 -w 20 ${far.pod}`);
    expect(ping.status, 'over the fallback network').toBe(0);
    await eventually('they are there again', async () => {
      const text = await container.output(['sh', '-c', show]);
      return text.includes(`dport ${PORT}`) && text.includes('proto 115') ? true : undefined;
    });
  });

  test('a container that makes MTUs small', async () => {
    const [{ container, inPod }, far] = nodes;
    const ping = `ping -q -c 1 -w 20 -M do -s 1372 ${far.pod}`;
    await container.output(['ip', 'link', 'set', 'ssw0', 'mtu', '1280']);
    await eventually('the tap has its own again', async () =>
      (await container.output(['ip', 'link', 'show', 'dev', 'ssw0'])).includes('mtu 65521')
        ? true
        : undefined,
    );
    expect((await inPod(ping)).status).toBe(0);
    const [, mtu = ''] =
      / mtu (\d+) /.exec(await container.output(['ip', 'link', 'show', 'dev', 'eth0'])) ?? [];
    await container.output(['ip', 'link', 'set', 'eth0', 'mtu', '1280']);
    expect((await inPod(ping)).status, 'past the fallback network').toBe(0);
    await container.output(['ip', 'link', 'set', 'eth0', 'mtu', mtu]);
  });

  test('no /dev/net/tun on the host: told, and tried again', async () => {
    const { host, container } = nodes[1];
    const config = '"$HOME/.config/sockswitch/config.toml"';
    await host.output(['bash', '-c', `echo 'tunnels = false' >${config}`]);
    await eventually('nothing is carried', async () =>
      (await nodes[1].tunnels())?.reason.includes('turned off') ? true : undefined,
    );
    const hide = 'install -m 000 /dev/null /tmp/no-tun; mount --bind /tmp/no-tun /dev/net/tun';
    await host.output(['sh', '-c', hide], { root: true });
    try {
      await host.output(['bash', '-c', `rm ${config}`]);
      const reason = 'open /dev/net/tun: Permission denied';
      await eventually('the reason is told', async () =>
        (await nodes[1].tunnels())?.reason.includes(reason) ? true : undefined,
      );
      expect((await tunnelsOf(container))?.reasons).toEqual([expect.stringContaining(reason)]);
      const doctor = await host.run(['sockswitch', 'doctor']);
      expect(doctor.stdout).toMatch(/PROBLEM \/dev\/net\/tun cannot be opened \(EACCES\)/);
      expect(doctor.stdout).toContain(reason);
      const ping = await nodes[0].inPod(`ping -q -c 1 -w 20 ${nodes[1].pod}`);
      expect(ping.status, 'over the fallback network').toBe(0);
    } finally {
      await host.output(['umount', '/dev/net/tun'], { root: true });
    }
    // No other event than the time that goes by.
    await eventually('it is tried again', async () =>
      (await nodes[1].tunnels())?.reason === '' ? true : undefined,
    );
  });

  test('a container with 10,000 remotes', async () => {
    const { container } = nodes[0];
    const entries = (verb: string) =>
      Array.from(
        { length: 10_000 },
        (_, i) =>
          `fdb ${verb} 02:00:00:01:${hex(i >> 8)}:${hex(i & 255)} dev flannel.1 dst 10.200.${i >> 8}.${i & 255}\n`,
      ).join('');
    const batch = ['bridge', '-force', '-batch', '-'];
    await container.output(batch, { stdin: entries('add') });
    await eventually(
      'it is told',
      async () =>
        (await nodes[0].tunnels())?.reason.startsWith('more than 256 remotes') || undefined,
    );
    expect((await nodes[0].tunnels())?.peers).toHaveLength(256);
    await container.output(batch, { stdin: entries('del') });
  });

  test('a container that renames the tap, takes its name and leads tunnels into one another', async () => {
    const { container } = nodes[0];
    const script = `
set -e
ip link set ssw0 down
ip link set ssw0 name mine
ip tuntap add ssw0 mode tap
ip link set ssw0 up
ip link set mine up
ip link add loop type vxlan id 7 dstport ${PORT} remote 10.244.2.0 nolearning
ip link set loop up`;
    await container.output(['sh', '-c', script]);
    const loop = await eventually('the loop is seen', async () =>
      (await nodes[0].tunnels())?.peers.find(({ address }) => address === '10.244.2.0'),
    );
    expect(loop).toMatchObject({
      state: 'fallback',
      reason: expect.stringMatching(/^not-uplink: /),
    });
    await container.output(['sh', '-c', 'ip link del loop; ip link del ssw0']);
  });

  test('a port that is taken on the host, until it is free', async () => {
    const { host } = nodes[1];
    const config = '"$HOME/.config/sockswitch/config.toml"';
    // Off and on again: in between, somebody else takes the port.
    await host.output(['bash', '-c', `echo 'tunnels = false' >${config}`]);
    await eventually('nobody listens', async () =>
      (await host.sh(listens(PORT))).status === 0 ? undefined : true,
    );
    const taker = await host.serve(
      [
        'python3',
        '-c',
        `import socket, time\ns = socket.create_server(('', ${PORT}))\ntime.sleep(600)`,
      ],
      listens(PORT),
    );
    await host.output(['bash', '-c', `rm ${config}`]);
    const problem = await eventually(
      'the problem is told',
      async () =>
        (await nodes[1].tunnels())?.listening.find(({ problem }) => problem !== '')?.problem,
    );
    expect(problem).toContain('Address already in use');
    await taker.stop();
    await eventually(
      'it listens',
      async () =>
        (await nodes[1].tunnels())?.listening.every(({ problem }) => problem === '') || undefined,
    );
  });
});

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
