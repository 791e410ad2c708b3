/**
 * `getsockname` of services on published ports, and the original destination of their connections: the container's address and
 * port, as without sockswitch. What real programs make of it is tried in test/programs.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  killDaemon,
  killDaemonAt,
  listenerThreads,
  newListenerThread,
  startDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, HOST1, host1, remote } from './support/lab.js';
import { startContainer } from './support/podman.js';
import { addressOf, listening, publish } from './support/published.js';
import { trackConnections } from './support/tracking.js';

const PROBE = readFileSync(new URL('probes/names.c', import.meta.url), 'utf8');
/** Says what its listener is called, and to each client what the connection is called. */
const SERVICE = `
import socket, sys
def name(s): return '%s %d' % s.getsockname()[:2]
server = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
server.bind((sys.argv[1], 80))
bound = name(server)
server.listen()
print('listening', flush=True)
while True:
    client = server.accept()[0]
    client.sendall(f'{bound}, {name(server)}, {name(client)}\\n'.encode())
    client.close()
`;
/** Tells each client which destination the kernel knows of it (SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST), and of the listener. */
const ORIGINAL = `
import errno, socket, sys
def asked(s, level, size):
    try: return s.getsockopt(level, 80, size).hex()
    except OSError as error: return errno.errorcode[error.errno]
def both(s): return f'{asked(s, socket.IPPROTO_IP, 16)} {asked(s, socket.IPPROTO_IPV6, 28)}'
server = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)
print('listening', flush=True)
while True:
    client = server.accept()[0]
    short = f'{asked(client, socket.IPPROTO_IP, 15)} {asked(client, socket.IPPROTO_IPV6, 27)}'
    client.sendall(f'{both(server)}, {both(client)}, {short}\\n'.encode())
    client.close()
`;
/** Asks once for a name in six bytes: what stands behind these must stay. */
const ASKER = `
import ctypes, os, socket, time
server = socket.create_server(('', 80))
buffer = ctypes.create_string_buffer(b'\\xee' * 32, 32)
length = ctypes.c_uint32(6)
open('/tmp/asks', 'w').close()
while not os.path.exists('/tmp/go'): time.sleep(0.05)
failed = ctypes.CDLL(None).getsockname(server.fileno(), buffer, ctypes.byref(length))
print(failed, length.value, buffer.raw[:8].hex())
`;
/** The service's last address counts, also if an earlier one was specific. */
const ONE_THEN_ALL = 'timeout 1 python3 -c "$1" "$(hostname -i)"; exec python3 -c "$1" 0.0.0.0';
const command = (address: string) => ['python3', '-c', SERVICE, address];
const names = async (from: string, port: number) =>
  (await remote.output(['bash', '-c', `cat </dev/tcp/${from}/${port}`])).trim();

describeOnLab('names of services on published ports', () => {
  test.each(['crun', 'runc'] as const)(
    'whatever is asked, and whoever interferes, as the kernel answers: %s',
    async (runtime) => {
      await trackConnections();
      const container = await startContainer({ runtime, annotations: publish('8080:80') });
      const script = 'cat >/tmp/n.c; gcc -O1 -pthread -o /tmp/n /tmp/n.c && /tmp/n';
      const { stdout } = await container.sh(script, [], { stdin: PROBE });
      expect(stdout).toMatch(/^\d{3,} equal, 0 different\n$/);
      await container.remove();
    },
  );

  test('of listener and connection, also after a daemon was killed', async () => {
    const service = { annotations: publish('8080:80'), network: 'bridge' };
    const container = await startContainer({ ...service, command: command('::') });
    await listening(container);
    const inside = await addressOf(container);
    const expected = `:: 80, :: 80, ::ffff:${inside} 80`;
    expect(await names(HOST1.v4, 8080)).toBe(expected);
    expect(await names(HOST1.v6, 8080), 'no IPv6 inside').toBe(`:: 80, :: 80, ${HOST1.v6} 80`);
    await killDaemon();
    await startDaemon();
    expect(await names(HOST1.v4, 8080)).toBe(expected);
    await container.remove();
  });

  test('the host tracks connections: nothing is known of an original destination', async () => {
    await trackConnections();
    const command = ['python3', '-c', ORIGINAL];
    const container = await startContainer({ annotations: publish('8080:80'), command });
    await listening(container);
    const unknown = 'ENOENT ENOENT, ENOENT ENOENT, EINVAL EINVAL';
    expect(await names(HOST1.v4, 8080)).toBe(unknown);
    expect(await names(HOST1.v6, 8080)).toBe(unknown);
    await container.remove();
  });

  test('of a caller whose buffer is short, when the daemon is killed before it answers', async () => {
    const before = await listenerThreads();
    const command = ['python3', '-c', ASKER];
    const container = await startContainer({ annotations: publish('8080:80'), command });
    await container.output(['sh', '-c', 'until test -e /tmp/asks; do sleep 0.1; done']);
    const thread = await newListenerThread(before);
    const ask = () => container.output(['touch', '/tmp/go']);
    await killDaemonAt(thread, 'after', 'process_vm_writev', ask);
    await eventually('the answer', async () => {
      const answer = await host1.output(['podman', 'logs', container.id]);
      if (answer !== '') expect(answer).toBe('0 16 020000500000eeee\n');
      return answer !== '' ? true : undefined;
    });
    await container.remove();
  });

  describe('of a service', () => {
    const network = 'slirp4netns';
    const inside = '10.0.2.100';

    test('that binds the address of the container', async () => {
      const annotations = publish(`${HOST1.v4}:8080:80`);
      const container = await startContainer({ network, annotations, command: command(inside) });
      await listening(container);
      const expected = `${inside} 80, ${inside} 80, ${inside} 80`;
      expect(await names(HOST1.v4, 8080)).toBe(expected);
      await killDaemon();
      await startDaemon();
      expect(await names(HOST1.v4, 8080), 'of the next daemon').toBe(expected);
      await container.remove();
    });

    test('that binds its address, and then all of them', async () => {
      const network = 'bridge';
      const script = ['bash', '-c', ONE_THEN_ALL, 'bash', SERVICE];
      const container = await startContainer({
        network,
        annotations: publish('8080:80'),
        command: script,
      });
      await listening(container, 2);
      const inside = await addressOf(container);
      const expected = `0.0.0.0 80, 0.0.0.0 80, ${inside} 80`;
      expect(await names(HOST1.v4, 8080)).toBe(expected);
      await killDaemon();
      await startDaemon();
      expect(await names(HOST1.v4, 8080)).toBe(expected);
      await container.remove();
    });

    test('with sockswitch/names=host: those of the host', async () => {
      const annotations = { ...publish('8080:80'), 'sockswitch/names': 'host' };
      const container = await startContainer({ network, annotations, command: command('0.0.0.0') });
      await listening(container);
      const expected = `0.0.0.0 8080, 0.0.0.0 8080, ${HOST1.v4} 8080`;
      expect(await names(HOST1.v4, 8080)).toBe(expected);
      await container.remove();
    });
  });
});
