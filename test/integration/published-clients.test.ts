/**
 * Whom a service on a published port takes its clients for, where a socket of the host stands for them: those inside its
 * container and neighbours on its networks have their own addresses, as without sockswitch. What real programs make of it
 * is tried in test/programs.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  daemonStatus,
  NAMES_PROGRAM,
  setNames,
  startDaemon,
  stopDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, HOST1, host1, remote } from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { type Container, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish, service } from './support/published.js';

const PORT = 8490;
const start = async (network: string, more: Record<string, string> = {}): Promise<Container> => {
  const container = await startContainer({
    network,
    annotations: { ...publish(`${PORT}:110`), ...more },
    command: service('tcp', '::', '110'),
  });
  onTestFinished(() => container.remove());
  await listening(container);
  return container;
};

/** Tells each client what accept and getpeername say, the latter after half a second. */
const SAYS_BOTH = `
import socket, time
server = socket.create_server(('', 110))
print('listening listening', flush=True)
while True:
    client, name = server.accept()
    time.sleep(0.5)
    client.sendall(f'{name == client.getpeername()} {name[0]} {name[1]}\\n'.encode())
    client.close()
`;
/** Connects, says by which port, and resets the connection when it is told to. */
const RESETS = `
import socket, struct, sys
sock = socket.create_connection((sys.argv[1], 110))
print(sock.getsockname()[1], sock.recv(100).decode().strip(), flush=True)
sys.stdin.read()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
sock.close()
`;
/** Keeps its clients, and says who they are. */
const KEEPS = `
import socket
server = socket.create_server(('', 110))
print('listening listening', flush=True)
kept = []
while True:
    client, name = server.accept()
    client.sendall(f'{name[0]} {name[1]}\\n'.encode())
    kept.append(client)
`;
/** Connects from a port of the host that another socket had before. */
const STRANGER = `
import socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind((sys.argv[1], int(sys.argv[2])))
sock.connect((sys.argv[1], int(sys.argv[3])))
print(sock.recv(100).decode().strip())
`;

describeOnLab('clients that a socket of the host stands for', () => {
  test.each(NETWORKS)('inside have their own addresses, on %s', async (network) => {
    const container = await start(network);
    const own = await addressOf(container);
    for (const address of ['127.0.0.1', '::1', own]) {
      expect(await ask(container, 'tcp', address, 110)).toBe(address);
    }
    expect(await ask(host1, 'tcp', '127.0.0.1', PORT), "the host's").toBe(HOST1.v4);
    expect(await ask(remote, 'tcp', HOST1.v4, PORT)).toMatch(/^10\.77\.0\.1(00)?$/);
  });

  test('inside, and accept and getpeername say so together with the port', async () => {
    const container = await startContainer({
      annotations: publish(`${PORT}:110`),
      command: ['python3', '-c', SAYS_BOTH],
    });
    onTestFinished(() => container.remove());
    await listening(container);
    const told = await container.output(['python3', '-c', RESETS, '127.0.0.1'], { stdin: '' });
    expect(told.trim()).toMatch(/^(\d+) True 127\.0\.0\.1 \1$/);
  });

  test("have the host's with sockswitch/names=host", async () => {
    const container = await start('bridge', { 'sockswitch/names': 'host' });
    expect(await ask(container, 'tcp', '127.0.0.1', 110)).toBe(HOST1.v4);
    const neighbour = await startContainer({ network: 'bridge', annotations: publish('8491:111') });
    onTestFinished(() => neighbour.remove());
    const address = await addressOf(container);
    expect(await ask(neighbour, 'tcp', address, 110)).toBe(HOST1.v4);
  });

  test('leave no name behind: whoever has the address and port next is a stranger', async () => {
    const container = await startContainer({
      annotations: publish(`${PORT}:110`),
      command: ['python3', '-c', KEEPS],
    });
    onTestFinished(() => container.remove());
    await listening(container);
    const open =
      'mkfifo /tmp/hold; (exec 3<>/tmp/hold; cat <&3 | python3 -c "$1" 127.0.0.1 >/tmp/told) &';
    await container.output(['bash', '-c', `${open} sleep 0.1`, 'bash', RESETS]);
    await eventually('a client inside', async () => {
      const told = (await container.exec(['cat', '/tmp/told'])).stdout;
      return / 127\.0\.0\.1 \d+\n/.test(told) ? true : undefined;
    });
    const relays = `src ${HOST1.v4} dport = :${PORT} and dst ${HOST1.v4}`;
    const ports = async () => {
      const shown = await host1.output(['ss', '-Htn', 'state', 'established', relays]);
      return [...shown.matchAll(/ [\d.]+:(\d+) +[\d.]+:\d+/g)].map((match) => match[1] ?? '');
    };
    const [port] = await ports();
    if (port === undefined) throw new Error('no connection of the relay');
    await container.output(['pkill', '-9', '-f', 'cat']);
    await eventually('its end', async () => ((await ports()).length === 0 ? true : undefined));
    const stranger = ['python3', '-c', STRANGER, HOST1.v4, port, String(PORT)];
    expect(await host1.output(stranger)).toBe(`${HOST1.v4} ${port}\n`);
  });

  describe('without the capabilities of sockswitch-names', () => {
    beforeAll(async () => {
      await stopDaemon();
      await setNames(false);
      await startDaemon();
    });
    afterAll(async () => {
      await stopDaemon();
      await setNames(true);
      await startDaemon();
      expect((await daemonStatus()).hostNames).toBeUndefined();
    });

    test("have the host's, and it is said why, with the remedy", async () => {
      const command = `sudo setcap cap_bpf,cap_net_admin=ep ${NAMES_PROGRAM}`;
      expect((await daemonStatus()).hostNames).toContain(command);
      expect((await host1.run(['sockswitch', 'doctor'])).stdout).toContain(command);
      const install = await host1.output(['sockswitch', 'install', '--dry-run']);
      expect(install).toMatch(/^optional {2}services see the host's address for clients/m);
      expect(install).toContain(command);
      await stopDaemon();
      const alone = await host1.run(['sockswitch', 'doctor']);
      await startDaemon();
      expect(alone.stdout, 'doctor without a daemon').toContain(command);
      const container = await start('bridge');
      for (const address of ['127.0.0.1', await addressOf(container)]) {
        expect(await ask(container, 'tcp', address, 110)).toBe(HOST1.v4);
      }
    });
  });
});
