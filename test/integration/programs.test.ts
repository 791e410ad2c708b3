/** Programs that people run in containers, against real servers on remote; every connection is switched. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GO_CLIENT, HAPROXY, NGINX, NODE_CLIENT, PYTHON_CLIENT } from './support/clients.js';
import { describeOnLab, describeResult, listens, REMOTE, remote } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { BIG_SHA256 } from './support/programs.js';

const PAGE = 'hello from remote\n';
const LONG = { timeout: 400_000 };
const PLACES = [
  { network: 'pasta', runtime: 'crun' },
  { network: 'slirp4netns', runtime: 'runc' },
  { network: 'bridge', runtime: 'crun' },
] as const;

const GIT = `
set -e
rm -rf /tmp/git && mkdir /tmp/git && cd /tmp/git
git init -q work && cd work
git config user.name test && git config user.email test@remote.lab
seq 100000 >numbers && git add numbers && git commit -qm numbers
git clone -q --bare . ../work.git && git -C ../work.git update-server-info`;

const POSTGRES = `
set -e
export PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
rm -rf /tmp/pg && initdb -D /tmp/pg -U lab --auth=trust >/dev/null
echo 'host all all all trust' >>/tmp/pg/pg_hba.conf
exec postgres -D /tmp/pg -k /tmp -c listen_addresses='*' -c fsync=off`;

const GO = `
set -e
mkdir -p /tmp/go-client && cat >/tmp/go-client/main.go && cd /tmp/go-client
export GOCACHE=/tmp/go-cache GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0
go build -o /tmp/go-client/client main.go && base64 -w 0 client`;

describeOnLab('programs', () => {
  let goClient: string;

  beforeAll(async () => {
    await remote.output(['bash', '-c', GIT]);
    const daemon = ['git', 'daemon', '--reuseaddr', '--export-all', '--base-path=/tmp/git'];
    await remote.serve(daemon, listens(9418));
    const http = ['python3', '-m', 'http.server', '--directory', '/tmp/git', '8090'];
    await remote.serve(http, listens(8090));
    await remote.serve(['bash', '-c', POSTGRES], listens(5432));
    // remote has the same files as the image.
    goClient = await remote.output(['bash', '-c', GO], { stdin: GO_CLIENT, ...LONG });
  });
  afterAll(() => remote.stopServers());

  describe.each(PLACES)('$network with $runtime', (place) => {
    let container: Container;
    let switched = 0;
    beforeAll(async () => {
      container = await startContainer({ ...place, annotations: ENABLED });
    });

    /** Standard output of a script that must succeed and have connected at least `connections` times. */
    async function run(script: string, connections: number, stdin = ''): Promise<string> {
      const result = await container.sh(script, [REMOTE.v4, REMOTE.v6], { stdin, ...LONG });
      expect(result.status, describeResult([script], result)).toBe(0);
      const counters = await countersOf(container);
      expect(counters.switched - switched, 'switched').toBeGreaterThanOrEqual(connections);
      switched = counters.switched;
      return result.stdout;
    }

    test('curl: 64 MiB, unchanged', async () => {
      expect(await run('curl -sS http://$1/big | sha256sum', 1)).toContain(BIG_SHA256);
    });

    test('curl: several at once, by name', async () => {
      const urls = Array.from({ length: 10 }, () => 'http://remote.lab/').join(' ');
      const page = await run(`curl -4 -sS --parallel --parallel-immediate ${urls}`, 10);
      expect(page).toBe(PAGE.repeat(10));
    });

    test('busybox wget and nc', async () => {
      expect(await run('busybox wget -q -O - http://$1/', 1)).toBe(PAGE);
      const nc = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc $1 80 | tail -n 1";
      expect(await run(nc, 1)).toBe(PAGE);
    });

    test('git over its own protocol and over HTTP', async () => {
      const clone = (url: string) =>
        `d=$(mktemp -d) && git clone -q ${url} $d && tail -n 1 $d/numbers`;
      expect(await run(clone('git://$1/work.git'), 1)).toBe('100000\n');
      expect(await run(clone('http://$1:8090/work.git'), 1)).toBe('100000\n');
    });

    test('redis-cli and redis-benchmark', async () => {
      expect(await run('redis-cli -h $1 set key value && redis-cli -h $1 get key', 2)).toBe(
        'OK\nvalue\n',
      );
      await run('redis-benchmark -h $1 -q -n 2000 -c 20 -t get,set', 20);
    });

    test('psql and pgbench', async () => {
      const psql = 'psql -h $1 -U lab -d postgres -Atc';
      expect(await run(`${psql} 'select 6 * 7'`, 1)).toBe('42\n');
      await run('pgbench -h $1 -U lab -i -q postgres 2>&1', 1);
      const pgbench = await run('pgbench -h $1 -U lab -c 4 -t 25 --connect postgres 2>&1', 100);
      expect(pgbench).toContain('number of transactions actually processed: 100/100');
    });

    test('iperf3, both directions', async () => {
      await run('iperf3 -c $1 -p 5204 -n 32M', 2);
      await run('iperf3 -c $1 -p 5204 -n 32M --reverse', 2);
    });

    test('Python: urllib, asyncio, threads', async () => {
      expect(await run('python3 - $1', 31, PYTHON_CLIENT)).toBe('31 pages\n');
    });

    test('Node.js: fetch', async () => {
      expect(await run('node --input-type=module - $1', 10, NODE_CLIENT)).toBe('20 pages\n');
    });

    test('Go: net/http with many goroutines', async () => {
      await run('base64 -d >/tmp/client && chmod +x /tmp/client', 0, goClient);
      expect(await run('/tmp/client $1', 50)).toBe('50 pages\n');
    });

    test('nginx as a reverse proxy, which asks epoll before it connects', async () => {
      await container.serve(
        `cat >/tmp/nginx.conf <<'END'\n${NGINX}\nEND\nexec nginx -c /tmp/nginx.conf`,
        'curl -s 127.0.0.1:8080',
      );
      const urls = Array.from({ length: 20 }, () => 'http://127.0.0.1:8080/').join(' ');
      expect(await run(`curl -sSf --max-time 60 ${urls}`, 20)).toBe(PAGE.repeat(20));
      expect(await run('curl -sSf http://127.0.0.1:8080/big | sha256sum', 1)).toContain(BIG_SHA256);
    });

    test('haproxy as a reverse proxy', async () => {
      await container.serve(
        `cat >/tmp/haproxy.cfg <<'END'\n${HAPROXY}\nEND\nexec haproxy -f /tmp/haproxy.cfg`,
        'curl -s 127.0.0.1:8081',
      );
      const urls = Array.from({ length: 20 }, () => 'http://127.0.0.1:8081/').join(' ');
      expect(await run(`curl -sSf --max-time 60 ${urls}`, 20)).toBe(PAGE.repeat(20));
    });

    test('wrk: thousands of connections, none lost', async () => {
      const report = await run("wrk -t 2 -c 16 -d 2s -H 'Connection: close' http://$1/", 100);
      expect(report).not.toMatch(/Socket errors|Non-2xx/);
    });
  });
});
