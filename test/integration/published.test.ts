/**
 * Published ports: a container's service on a socket of the host. Clients from outside are the kernel's and are
 * seen with their own address; everybody else reaches the service, too, over the relay.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { killDaemon, startDaemon, stopDaemon } from './support/daemon.js';
import {
  describeOnLab,
  eventually,
  HOST1,
  HOST2,
  type Host,
  host1,
  host2,
  remote,
} from './support/lab.js';
import { NETWORKS, RUNTIMES } from './support/places.js';
import { type Container, ENABLED, ps, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish, service } from './support/published.js';

const NGINX = `
daemon off; pid /tmp/nginx.pid; error_log stderr; worker_processes 2;
events {}
http {
  access_log /tmp/access.log;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server {
    listen 80 LISTEN; listen [::]:80 LISTEN;
    location / { return 200 "$remote_addr\\n"; }
  }
}`;
const nginx = (options = '') => [
  ...['bash', '-c', 'printf "%s" "$1" >/tmp/nginx.conf; exec nginx -c /tmp/nginx.conf', 'bash'],
  NGINX.replaceAll('LISTEN', options),
];
const get = (from: Host | Container, url: string) => {
  const argv = ['curl', '-sS', '--max-time', '10', url];
  return 'exec' in from ? from.exec(argv) : from.run(argv);
};
async function answers(from: Host | Container, url: string): Promise<string> {
  return eventually(url, async () => {
    const { status, stdout } = await get(from, url);
    return status === 0 ? stdout.trim() : undefined;
  });
}
const lostDatagrams = z.object({
  containers: z.array(z.object({ id: z.string(), lostDatagrams: z.int().optional() })),
});
const hostPortIsFree = async (port: number) =>
  (await host1.sh(`! ss -Htlun 'sport = :${port}' | grep -q .`)).status === 0;

describeOnLab('published ports', () => {
  describe.each(NETWORKS)('nginx on %s', (network) => {
    let web: Container;
    const port = 8080;

    beforeAll(async () => {
      const annotations = publish(`${port}:80`);
      web = await startContainer({ network, annotations, command: nginx() });
      await answers(remote, `http://${HOST1.v4}:${port}/`);
    });

    test('is seen from outside, and sees who it is', async () => {
      // remote's address on the hosts' segment is the gateway's as well.
      expect(await answers(remote, `http://${HOST1.v4}:${port}/`)).toMatch(/^10\.77\.0\.1(00)?$/);
      expect(await answers(host2, `http://${HOST1.v4}:${port}/`)).toBe(HOST2.v4);
      expect(await answers(host2, `http://[${HOST1.v6}]:${port}/`)).toBe(HOST2.v6);
      const log = await web.output(['cat', '/tmp/access.log']);
      expect(log).toContain(`${HOST2.v4} - - `);
      expect(log).toContain(`${HOST2.v6} - - `);
    });

    test('is seen from the host', async () => {
      for (const address of [HOST1.v4, '127.0.0.1', `[${HOST1.v6}]`, '[::1]', 'localhost']) {
        expect(await get(host1, `http://${address}:${port}/`), address).toMatchObject({
          status: 0,
        });
      }
    });

    test('is seen from itself, on loopback and on its address', async () => {
      for (const address of ['127.0.0.1', '[::1]', 'localhost', await addressOf(web)]) {
        expect(await get(web, `http://${address}/`), address).toMatchObject({ status: 0 });
      }
    });

    test('is seen from an accelerated container of another host', async () => {
      const client = await startContainer({ host: host2, network, annotations: ENABLED });
      expect(await answers(client, `http://${HOST1.v4}:${port}/`)).toBe(HOST2.v4);
      await client.remove();
    });

    // pasta and slirp4netns give every container a network of its own: there are no neighbours.
    if (network === 'bridge') {
      test.each([ENABLED, {}])('is seen from a neighbour with %o', async (annotations) => {
        const neighbour = await startContainer({ network, annotations });
        for (const address of [await addressOf(web), web.name]) {
          expect(await get(neighbour, `http://${address}/`), address).toMatchObject({ status: 0 });
        }
        await neighbour.remove();
      });
    }

    test('lets go of the port when it is removed', async () => {
      await web.remove();
      await eventually('the port to be free', async () =>
        (await hostPortIsFree(port)) ? true : undefined,
      );
    });
  });

  test.each(RUNTIMES)(
    'with %s: podman exec, restart of the service, and of the container',
    async (runtime) => {
      const container = await startContainer({ runtime, annotations: publish('8081:81') });
      expect(await ask(remote, 'tcp', HOST1.v4, 8081), 'reserved only').toBe(
        'ConnectionRefusedError',
      );
      const once = () => container.exec(service('tcp', '0.0.0.0', '81', 'once'));
      for (let life = 0; life < 3; life++) {
        const running = once();
        const seen = await eventually('an answer', async () => {
          const answer = await ask(host2, 'tcp', HOST1.v4, 8081);
          return answer === HOST2.v4 ? answer : undefined;
        });
        expect(seen).toBe(HOST2.v4);
        expect(await running).toMatchObject({ status: 0 });
        // The first one that comes too late may see a reset; then the port is closed.
        await ask(host1, 'tcp', '127.0.0.1', 8081);
        expect(await ask(host1, 'tcp', '127.0.0.1', 8081)).toBe('ConnectionRefusedError');
        expect(await ask(container, 'tcp', '127.0.0.1', 81)).toBe('ConnectionRefusedError');
        expect(await ask(remote, 'tcp', HOST1.v4, 8081)).toBe('ConnectionRefusedError');
      }
      await container.host.output(['podman', 'restart', '--time', '0', container.id]);
      const running = once();
      await eventually('an answer after the restart', async () =>
        (await ask(host2, 'tcp', HOST1.v4, 8081)) === HOST2.v4 ? true : undefined,
      );
      await running;
      await container.remove();
    },
  );

  test('workers share a port with SO_REUSEPORT, and without it they do not', async () => {
    const container = await startContainer({ annotations: publish('8082:82') });
    const worker = (...words: string[]) => service('tcp', '0.0.0.0', '82', ...words);
    await container.serve(
      `for n in 1 2 3; do ${shell(worker('reuseport'))} & done; wait`,
      `[ $(cat /tmp/server.log | wc -l) = 3 ]`,
    );
    for (let n = 0; n < 10; n++) expect(await ask(host2, 'tcp', HOST1.v4, 8082)).toBe(HOST2.v4);
    expect(await container.exec(worker())).toMatchObject({ status: 1, stderr: 'EADDRINUSE\n' });
    await container.output(['pkill', 'python3']);
    await container.serve(shell(worker()), 'grep -q listening /tmp/server.log');
    for (const words of [['reuseport'], []]) {
      const second = await container.exec(worker(...words));
      expect(second).toMatchObject({ status: 1, stderr: 'EADDRINUSE\n' });
    }
    await container.remove();
  });

  test.each([
    ['0.0.0.0', { v4: HOST2.v4 }],
    ['::', { v4: HOST2.v4, v6: HOST2.v6 }],
    ['own', { v4: HOST2.v4 }],
  ])('bound to %s', async (bound, wanted) => {
    const container = await startContainer({ annotations: publish('8083:83') });
    const address = bound === 'own' ? await addressOf(container) : bound;
    const command = service('tcp', address, '83');
    await container.serve(shell(command), 'grep -q listening /tmp/server.log');
    expect(await ask(host2, 'tcp', HOST1.v4, 8083)).toBe(wanted.v4);
    const v6 = await ask(host2, 'tcp', HOST1.v6, 8083);
    // An IPv4 service's IPv6 clients come over the relay, which has the host's address.
    expect(v6).toBe('v6' in wanted ? wanted.v6 : HOST1.v4);
    expect(await ask(host1, 'tcp', '127.0.0.1', 8083)).toBe(HOST1.v4);
    const loopback = await ask(container, 'tcp', '127.0.0.1', 83);
    expect(loopback).toBe(bound === 'own' ? 'ConnectionRefusedError' : '127.0.0.1');
    await container.remove();
  });

  test.each(['0.0.0.0', '::'])('an MPTCP listener on %s', async (address) => {
    const annotations = publish('8097:97 127.0.0.1:8098:98');
    const container = await startContainer({ annotations });
    for (const port of ['97', '98']) {
      const command = shell(service('tcp', address, port, 'mptcp'));
      await container.serve(command, 'grep -q listening /tmp/server.log');
    }
    expect(await ask(remote, 'tcp', HOST1.v4, 8097)).toMatch(/^10\.77\.0\.1(00)?$/);
    expect(await ask(host2, 'tcp', HOST1.v4, 8097)).toBe(HOST2.v4);
    expect(await ask(host1, 'tcp', '127.0.0.1', 8097)).toBe(HOST1.v4);
    expect(await ask(container, 'tcp', '127.0.0.1', 97)).toBe('127.0.0.1');
    expect(await ask(host1, 'tcp', '127.0.0.1', 8098), 'relayed').toBe(await addressOf(container));
    expect((await container.counters())?.reasons).toMatchObject({
      published: 1,
      'published-relayed': 1,
    });
    await container.remove();
  });

  test('what is not published stays in the container', async () => {
    const container = await startContainer({ annotations: publish('8084:84 8085:85/udp') });
    for (const [kind, address, port] of [
      ['tcp', '127.0.0.1', '84'],
      ['tcp', '0.0.0.0', '85'],
      ['udp', '0.0.0.0', '84'],
      ['tcp', '0.0.0.0', '0'],
      ['tcp', '0.0.0.0', '99'],
    ] as const) {
      await container.serve(
        shell(service(kind, address, port)),
        'grep -q listening /tmp/server.log',
      );
      await container.output(['pkill', '-f', 'recvfrom']);
    }
    expect(await ask(remote, 'tcp', HOST1.v4, 8084)).toBe('ConnectionRefusedError');
    const row = (await ps()).containers.find(({ id }) => id === container.id);
    expect(row?.reasons).toContainEqual({ outcome: 'published-other-protocol', count: 2 });
    expect(row?.counts.switched).toBe(0);
    await container.remove();
  });

  test('on loopback only: for the host, and not for others', async () => {
    const annotations = publish('127.0.0.1:8086:86 [::1]:8087:87');
    const container = await startContainer({ annotations });
    for (const [address, port] of [
      ['0.0.0.0', '86'],
      ['::', '87'],
    ] as const) {
      const command = shell(service('tcp', address, port));
      await container.serve(command, 'grep -q listening /tmp/server.log');
    }
    const own = await addressOf(container);
    expect(await ask(host1, 'tcp', '127.0.0.1', 8086)).toBe(own);
    expect(await ask(host1, 'tcp', '::1', 8087)).not.toMatch(/Error/);
    expect(await ask(container, 'tcp', '127.0.0.1', 86)).toBe('127.0.0.1');
    for (const from of [remote, host2]) {
      expect(await ask(from, 'tcp', HOST1.v4, 8086)).toBe('ConnectionRefusedError');
    }
    expect(await ask(host1, 'tcp', HOST1.v4, 8086)).toBe('ConnectionRefusedError');
    await container.remove();
  });

  test('UDP, from everywhere', async () => {
    const command = service('udp', '0.0.0.0', '53');
    const annotations = publish('5353:53/udp');
    const container = await startContainer({ annotations, command });
    await listening(container);
    const own = await addressOf(container);
    for (const [from, address] of [
      [remote, HOST1.v4],
      [host2, HOST1.v4],
      [host2, HOST1.v6],
      [host1, HOST1.v4],
      [host1, '127.0.0.1'],
      [host1, '::1'],
    ] as const) {
      expect(await ask(from, 'udp', address, 5353), `${from.name} ${address}`).toBe(`${own} 1`);
      expect(await ask(from, 'udp', address, 5353, '20000')).toBe(`${own} 20000`);
    }
    expect(await ask(container, 'udp', '127.0.0.1', 53)).toBe('127.0.0.1 1');
    await container.remove();
    await eventually('the port to be free', async () =>
      (await hostPortIsFree(5353)) ? true : undefined,
    );
  });

  test('datagrams that no service takes are lost, and counted', async () => {
    const container = await startContainer({ annotations: publish('5356:56/udp') });
    const send = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(10): s.sendto(b'x', ('${HOST1.v4}', 5356))`;
    const lost = async () => {
      await host2.output(['python3', '-c', send]);
      const text = await host1.output(['sockswitch', 'ps', '--json']);
      return lostDatagrams.parse(JSON.parse(text)).containers.find(({ id }) => id === container.id)
        ?.lostDatagrams;
    };
    expect(await lost()).toBeTypeOf('number');
    await eventually('ten lost datagrams', async () => ((await lost()) ?? 0) >= 10 || undefined);
    const metrics = await host1.sh(
      'curl -sS --unix-socket "$XDG_RUNTIME_DIR/sockswitch/metrics.sock" http://daemon/metrics',
    );
    expect(metrics.stdout).toMatch(
      new RegExp(`datagrams_lost_total\\{container="${container.id}"\\} [1-9]`),
    );
    await container.remove();
  });

  test.each([
    ['is stopped', stopDaemon],
    ['is killed', killDaemon],
  ])('while the daemon %s, and by the next one', async (_, end) => {
    // Python asks each accepted socket for its name, which waits for a daemon if it is reported.
    const annotations = { ...publish('8088:88 5354:54/udp'), 'sockswitch/names': 'host' };
    const container = await startContainer({ annotations });
    await container.serve(shell(service('tcp', '::', '88')), 'grep -q listening /tmp/server.log');
    await container.serve(shell(service('udp', '::', '54')), 'grep -q listening /tmp/server.log');
    await end();
    expect(await ask(host2, 'tcp', HOST1.v4, 8088), 'without a daemon').toBe(HOST2.v4);
    const taken = await host1.run(['python3', '-c', TAKE, '8088']);
    expect(taken.stdout, 'the keeper holds the port').toBe('EADDRINUSE\n');
    await startDaemon();
    expect(await ask(host2, 'tcp', HOST1.v4, 8088)).toBe(HOST2.v4);
    expect(await ask(host1, 'tcp', '127.0.0.1', 8088)).toBe(HOST1.v4);
    expect(await ask(container, 'tcp', '127.0.0.1', 88)).toBe(HOST1.v4);
    expect(await ask(host2, 'udp', HOST1.v4, 5354)).not.toMatch(/Error/);
    await container.remove();
    await eventually('the ports to be free', async () =>
      (await hostPortIsFree(8088)) && (await hostPortIsFree(5354)) ? true : undefined,
    );
  });

  test('a service holds no socket of the host that is not pinned', async () => {
    const container = await startContainer({ annotations: publish('8089:89') });
    const loopback = await host1.serve(
      ['python3', '-m', 'http.server', '--bind', '127.0.0.1', '9999'],
      'curl -s http://127.0.0.1:9999/',
    );
    const running = container.exec(['python3', '-c', TURN_AROUND, '89', '9999']);
    await eventually('the service to answer', async () =>
      (await ask(remote, 'tcp', HOST1.v4, 8089)) === 'hello' ? true : undefined,
    );
    expect((await running).stdout.trim().split('\n')).toEqual([
      'bound eth0',
      'listening eth0',
      'accepted eth0',
      'accepted, disconnected: ConnectionRefusedError',
      'listening, shut down: ConnectionRefusedError',
    ]);
    await loopback.stop();
    await container.remove();
  });
});

describeOnLab('a start that cannot have its ports fails, and leaves nothing behind', () => {
  async function refused(list: string, args: readonly string[] = []): Promise<string> {
    const annotations = publish(list);
    const words = Object.entries(annotations).flatMap(([k, v]) => ['--annotation', `${k}=${v}`]);
    const result = await host1.run([
      ...['podman', 'run', '--rm', '--network', 'pasta', ...args, ...words],
      ...['localhost/tiny', 'true'],
    ]);
    expect(result.status).not.toBe(0);
    return result.stderr;
  }

  test.each([
    ['8080', 'HOSTPORT'],
    ['0:80', '"0" is no host port'],
    ['65536:80', '"65536" is no host port'],
    ['8080:0', '"0" is no container port'],
    ['80:65536', '"65536" is no container port'],
    ['8080:80/sctp', '"sctp" is not known'],
    ['8000-8001:80', 'different lengths'],
    ['8080:80 8080:80', 'container port 80/tcp twice'],
    ['8080:80 8080:81', 'host port 8080/tcp twice'],
    ['8080:80 8081:80', 'container port 80/tcp twice'],
    ['8000-8010:1-11 8005-8015:21-31', 'host port 8005/tcp twice'],
    ['8000-8010:1-11 127.0.0.1:8005:99', 'host port 8005/tcp twice'],
    ['10000-14999:10000-14999', 'more than 1000 ports'],
    ['80:80', 'host port 80/tcp is below 1024'],
    ['10.77.0.12:8091:91', '10.77.0.12 is no address of this host'],
  ])('8090:90 %s', async (list, message) => {
    const before = await keptDescriptors();
    expect(await refused(`8090:90 ${list}`)).toContain(message);
    expect(await reserved(8090)).toBe(false);
    expect(await keptDescriptors()).toBe(before);
  });

  test('a port that a program of the host has, by name', async () => {
    const server = await host1.serve(
      ['python3', '-m', 'http.server', '8092'],
      'curl -s http://127.0.0.1:8092/',
    );
    const message = await refused('8090:90 8092:92');
    expect(message).toMatch(/host port 8092\/tcp is taken by python3 \(pid \d+\)/);
    expect(await reserved(8090)).toBe(false);
    await server.stop();
  });

  test('a port that is published with -p as well, or by another container', async () => {
    expect(await refused('8093:93', ['-p', '8093:93'])).toMatch(/8093\/tcp is taken/);
    const first = await startContainer({ annotations: publish('8093:93') });
    expect(await refused('8093:94')).toContain('is published by container');
    await first.remove();
  });

  test('without a daemon', async () => {
    await stopDaemon();
    try {
      expect(await refused('8094:94')).toContain('sockswitch/publish is set, but no daemon');
    } finally {
      await startDaemon();
    }
  });

  test('as many as there may be, and all of them are free afterwards', async () => {
    const before = await keptDescriptors();
    const container = await startContainer({ annotations: publish('10000-10999:10000-10999') });
    expect(await keptDescriptors()).toBeGreaterThanOrEqual(before + 1000);
    await container.remove();
    await eventually('the keeper to let go', async () =>
      (await keptDescriptors()) <= before ? true : undefined,
    );
  });

  test.each([
    ['podman rm -f', 'podman rm -f -t 0 "$1"'],
    ['podman kill', 'podman kill -s KILL "$1"; podman rm -f -t 0 "$1"'],
    ['SIGKILL from outside', 'kill -KILL "$(podman inspect --format "{{.State.Pid}}" "$1")"'],
    ['podman stop', 'podman stop -t 0 "$1"'],
  ])('a container that ends by %s, while it serves', async (_, end) => {
    const before = await keptDescriptors();
    const annotations = publish('8099:99 8099:99/udp');
    const container = await startContainer({
      annotations,
      command: service('tcp', '0.0.0.0', '99'),
    });
    await listening(container);
    expect(await ask(host2, 'tcp', HOST1.v4, 8099)).toBe(HOST2.v4);
    expect((await host1.sh(end, [container.id])).status).toBe(0);
    await eventually('the ports to be free', async () =>
      (await hostPortIsFree(8099)) && !(await reserved(8099)) ? true : undefined,
    );
    await eventually('the keeper to let go', async () =>
      (await keptDescriptors()) <= before ? true : undefined,
    );
    await container.remove();
  });

  test('a container that was made ready and never started', async () => {
    const annotations = publish('8096:96');
    const words = Object.entries(annotations).flatMap(([k, v]) => ['--annotation', `${k}=${v}`]);
    const create = ['podman', 'create', '--network', 'pasta', ...words, 'localhost/tiny', 'true'];
    const id = (await host1.output(create)).trim();
    await host1.output(['podman', 'init', id]);
    expect(await reserved(8096)).toBe(true);
    await host1.output(['podman', 'rm', '-f', id]);
    await eventually('the port to be free', async () =>
      (await reserved(8096)) ? undefined : true,
    );
  });

  test('a start that fails after the hook gives the port back', async () => {
    const result = await host1.run([
      ...['podman', 'run', '--rm', '--annotation', 'sockswitch/enable=true'],
      ...['--annotation', 'sockswitch/publish=8095:95', 'localhost/tiny', '/no/such/program'],
    ]);
    expect(result.status).not.toBe(0);
    await eventually('the port to be free', async () =>
      (await hostPortIsFree(8095)) && !(await reserved(8095)) ? true : undefined,
    );
  });
});

const TAKE = `
import errno, socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    sock.bind(('0.0.0.0', int(sys.argv[1])))
    print('free')
except OSError as error:
    print(errno.errorcode[error.errno])
`;

/** How many descriptors the keeper has: reservations and listeners. */
async function keptDescriptors(): Promise<number> {
  const count = 'ls /proc/$(pgrep -n sockswitch-keep)/fd | wc -l';
  return Number(await host1.output(['sh', '-c', count]));
}

/** Whether the port cannot be bound. */
async function reserved(port: number): Promise<boolean> {
  return (await host1.run(['python3', '-c', TAKE, String(port)])).stdout === 'EADDRINUSE\n';
}

/** Says what its sockets are pinned to, then tries to make clients of them. */
const TURN_AROUND = `
import ctypes, socket, sys
libc = ctypes.CDLL(None)
def device(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b'\\0').decode()
def reach(sock):
    sock.settimeout(5)
    try:
        sock.connect(('127.0.0.1', int(sys.argv[2])))
        return 'REACHED'
    except OSError as error:
        return type(error).__name__
server = socket.socket()
server.bind(('', int(sys.argv[1])))
print('bound', device(server), flush=True)
server.listen()
print('listening', device(server), flush=True)
client, _ = server.accept()
client.sendall(b'hello')
print('accepted', device(client), flush=True)
libc.connect(client.fileno(), b'\\0' * 16, 16)
print('accepted, disconnected:', reach(client), flush=True)
server.shutdown(socket.SHUT_RDWR)
print('listening, shut down:', reach(server), flush=True)
`;

/** A command as a word for the shell, quoted. */
function shell(argv: readonly string[]): string {
  return argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
}
