/**
 * From one accelerated container to another's published port: by the host's socket, where the network between the
 * two leads there anyway, and otherwise by that network or not at all, as without acceleration.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, eventually, HOST1, host1 } from './support/lab.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish, service } from './support/published.js';

const SERVICE = service('tcp', '0.0.0.0', '110');

/** Outcomes of a container's connects that have to do with neighbours, and how often. */
async function outcomes(container: Container): Promise<Record<string, number>> {
  const reasons = (await container.counters())?.reasons ?? {};
  return Object.fromEntries(
    Object.entries(reasons).filter(([name]) => /^(neighbour|podman-network)/.test(name)),
  );
}

async function network(name: string, ...options: readonly string[]): Promise<string> {
  await host1.output(['podman', 'network', 'create', ...options, name]);
  return name;
}

async function explain(container: Container, destination: string): Promise<string> {
  return host1.output(['sockswitch', 'explain', container.id, destination]);
}

describeOnLab('a published port of a neighbour', () => {
  const made: string[] = [];
  const create = async (name: string, ...options: readonly string[]) => {
    made.push(name);
    return network(name, ...options);
  };
  afterAll(() => host1.run(['podman', 'network', 'rm', '--force', '--time', '0', ...made]));

  describe.each([
    ['IPv4', '0.0.0.0', ['--subnet', '10.101.1.0/24']],
    ['IPv6', '::', ['--subnet', '10.101.2.0/24', '--subnet', 'fd01:2::/64']],
  ] as const)('on one network, %s', (family, listens, options) => {
    let server: Container;
    let client: Container;
    let address: string;
    /** The client's, on that network. */
    let own: string;

    beforeAll(async () => {
      const net = await create(`neighbours-${family}`, ...options);
      server = await startContainer({
        network: net,
        annotations: publish('8110:110'),
        command: service('tcp', listens, '110'),
      });
      client = await startContainer({ network: net, annotations: ENABLED });
      await listening(server);
      const on = async (container: Container) => {
        const shown = await container.output(['ip', '-o', 'address', 'show', 'dev', 'eth0']);
        const wanted = family === 'IPv4' ? / (10\.101[\d.]+)/ : / (fd01:[\da-f:]+)/;
        return wanted.exec(shown)?.[1] ?? '';
      };
      address = await on(server);
      own = await on(client);
    });
    afterAll(async () => {
      await client.remove();
      await server.remove();
    });

    test('is connected to by a socket of the host', async () => {
      // Where the machine is too busy to prove the way in time, the network is taken.
      await eventually('a socket of the host', async () => {
        expect(await ask(client, 'tcp', address, 110)).toBe(own);
        const { neighbour } = await outcomes(client);
        return neighbour;
      });
    });

    test('by its name, and without waiting', async () => {
      const told = await client.output(['python3', '-c', NON_BLOCKING, server.name, '110']);
      const host = family === 'IPv4' ? HOST1.v4 : HOST1.v6;
      expect(told.trim().split('\n')).toEqual(['EINPROGRESS', '0', `${host} 8110`, own, 'eth0']);
    });

    test('is what "explain" says', async () => {
      const destination = family === 'IPv4' ? `${address}:110` : `[${address}]:110`;
      const text = await explain(client, destination);
      expect(text).toContain('neighbour');
      expect(text).toContain('eth0');
      expect(text).toContain(family === 'IPv4' ? `${HOST1.v4}:8110` : `[${HOST1.v6}]:8110`);
    });

    test('a socket that is bound stays on the network', async () => {
      const before = await outcomes(client);
      expect(await client.output(['python3', '-c', BOUND, address, '110'])).toMatch(/^10\.|^fd/);
      const { 'neighbour-relayed': relayed = 0, ...others } = before;
      expect(await outcomes(client)).toEqual({ ...others, 'neighbour-relayed': relayed + 1 });
    });

    test('goes on with the next daemon', async () => {
      await stopDaemon();
      await startDaemon();
      const { neighbour: before = 0 } = await outcomes(client);
      await eventually('a socket of the host', async () => {
        expect(await ask(client, 'tcp', address, 110)).not.toMatch(/Error/);
        const { neighbour = 0 } = await outcomes(client);
        return neighbour > before ? true : undefined;
      });
    });
  });

  test('other ports, and ports that are published on loopback, stay on the network', async () => {
    const net = await create('neighbours-other', '--subnet', '10.101.3.0/24');
    const server = await startContainer({
      ...{ network: net, annotations: publish('127.0.0.1:8111:110 8112:112'), command: SERVICE },
    });
    await listening(server);
    const client = await startContainer({ network: net, annotations: ENABLED });
    expect(await ask(client, 'tcp', await addressOf(server), 110)).toBe(await addressOf(client));
    expect(await ask(client, 'tcp', await addressOf(server), 112)).toBe('ConnectionRefusedError');
    expect(await ask(client, 'tcp', await addressOf(server), 113)).toBe('ConnectionRefusedError');
    expect(await outcomes(client)).toEqual({ 'podman-network': 3 });
    await Promise.all([client.remove(), server.remove()]);
  });

  test.each([
    ['that are isolated', ['--opt', 'isolate=true']],
    ['that are not', []],
  ])('on two networks %s, it is as without acceleration', async (_, options) => {
    const words = (subnet: string) => [...options, '--subnet', subnet];
    const [one, other] = ['neighbours-one', 'neighbours-other-one'];
    await create(one, ...words('10.101.4.0/24'));
    await create(other, ...words('10.101.5.0/24'));
    const annotations = publish('8113:110');
    const server = await startContainer({ network: other, annotations, command: SERVICE });
    await listening(server);
    const address = await addressOf(server);
    const accelerated = await startContainer({ network: one, annotations: ENABLED });
    const plain = await startContainer({ network: one });
    const wanted = await ask(plain, 'tcp', address, 110);
    expect(await ask(accelerated, 'tcp', address, 110)).toBe(wanted);
    if (options.length > 0) expect(wanted).toMatch(/Error/);
    expect(await outcomes(accelerated)).toEqual({ 'neighbour-relayed': 1 });
    expect(await explain(accelerated, `${address}:110`)).toContain('neighbour-relayed');
    await Promise.all([accelerated, plain, server].map((container) => container.remove()));
    await host1.output(['podman', 'network', 'rm', '--force', one, other]);
  });

  test('a network that leads nowhere gives no socket of the host', async () => {
    const net = await create('neighbours-internal', '--internal', '--subnet', '10.101.6.0/24');
    const annotations = publish('8114:110');
    const server = await startContainer({ network: net, annotations, command: SERVICE });
    await listening(server);
    const client = await startContainer({ network: net, annotations: ENABLED });
    const address = /inet ([\d.]+)/.exec(
      await server.output(['ip', '-4', '-o', 'address', 'show', 'dev', 'eth0']),
    )?.[1];
    // The service keeps its own socket, so its neighbour reaches it as without acceleration.
    expect(await ask(client, 'tcp', address ?? '', 110)).toMatch(/^10\.101\.6\./);
    expect((await server.counters())?.reasons).toMatchObject({ 'published-relayed': 1 });
    expect(await outcomes(client)).toEqual({ 'podman-network': 1 });
    await Promise.all([client.remove(), server.remove()]);
  });

  test("who claims a neighbour's address elsewhere gets none of its connections", async () => {
    const net = await create('neighbours-claimed', '--subnet', '10.101.7.0/24');
    const away = await create('neighbours-away', '--subnet', '10.101.8.0/24');
    const plain = await startContainer({ network: net, command: SERVICE });
    await listening(plain);
    const address = await addressOf(plain);
    const thief = await startContainer({
      ...{ network: away, annotations: publish('8115:110'), args: ['--cap-add', 'NET_ADMIN'] },
    });
    await thief.output(['ip', 'address', 'add', `${address}/32`, 'dev', 'eth0']);
    await thief.serve(`${SERVICE.map((w) => `'${w.replaceAll("'", `'\\''`)}'`).join(' ')}`, 'true');
    await eventually('the thief to listen', async () =>
      /Error/.test(await ask(host1, 'tcp', HOST1.v4, 8115)) ? undefined : true,
    );
    const client = await startContainer({ network: net, annotations: ENABLED });
    expect(await ask(client, 'tcp', address, 110)).toBe(await addressOf(client));
    expect(await outcomes(client)).not.toHaveProperty('neighbour');
    await Promise.all([client, thief, plain].map((container) => container.remove()));
  });

  test('when it is gone, so is the way, whoever has the port then', async () => {
    const net = await create('neighbours-gone', '--subnet', '10.101.9.0/24');
    const server = await startContainer({ network: net, annotations: publish('8116:110') });
    const once = server.exec(service('tcp', '0.0.0.0', '110', 'once'));
    const client = await startContainer({ network: net, annotations: ENABLED });
    const address = await addressOf(server);
    const own = await addressOf(client);
    await eventually('an answer', async () =>
      (await ask(client, 'tcp', address, 110)) === own ? true : undefined,
    );
    await once;
    await eventually('the service to be known as gone', async () =>
      (await ask(client, 'tcp', address, 110)) === 'ConnectionRefusedError' ? true : undefined,
    );
    const again = server.exec(service('tcp', '0.0.0.0', '110', 'once'));
    await eventually('an answer of the next service', async () =>
      (await ask(client, 'tcp', address, 110)) === own ? true : undefined,
    );
    await again;
    await server.remove();
    const squatter = await eventually('the port', async () =>
      host1
        .serve(['python3', '-m', 'http.server', '8116'], 'curl -s http://127.0.0.1:8116/')
        .catch(() => undefined),
    );
    expect(await ask(client, 'tcp', address, 110)).toMatch(/Error/);
    await squatter.stop();
    await client.remove();
  });
});

/** Connects without waiting, by name, and says what it sees of it. */
const NON_BLOCKING = `
import errno, select, socket, sys
family, kind, _, _, address = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)[0]
sock = socket.socket(family, kind)
sock.setblocking(False)
poll = select.epoll()
poll.register(sock, select.EPOLLOUT)
print(errno.errorcode[sock.connect_ex(address)])
poll.poll(10)
print(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print(*sock.getpeername()[:2])
sock.setblocking(True)
print(sock.recv(100).decode().strip().removeprefix('::ffff:'))
print(sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b'\\0').decode())
`;

const BOUND = `
import socket, sys
sock = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
sock.bind(('', 2000))
sock.connect((sys.argv[1], int(sys.argv[2])))
print(sock.recv(100).decode().strip().removeprefix('::ffff:'))
`;
