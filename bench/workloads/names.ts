/**
 * What it costs a service on published ports that the kernel reports its `getsockname`: nginx and Redis, beside the same container
 * with `sockswitch/names=host`, of which nothing is reported.
 */
import { NAMES_HOST } from '../drivers/names-host.js';
import { parseWrk, wrk, wrkKept } from './connections.js';
import { configureNginx, NGINX } from './nginx.js';
import { answered, outputs, steps } from './steps.js';
import type { InboundTarget, InboundWorkload, Metric, Metrics, Settings } from './workload.js';

const CLIENTS = 50;
const KEPT_REQUESTS = 100_000;
const NEW_CONNECTIONS = 20_000;

const rate = (name: string, title: string): Metric => ({
  name,
  title,
  unit: '1/s',
  better: 'higher',
});

const COMMON = {
  kind: 'inbound',
  baseline: NAMES_HOST,
  reference: NAMES_HOST,
  rounds: 10,
  needs: { lab: true },
  suits: ({ name }: { readonly name: string }) => name === 'sockswitch-pasta',
  from: 'remote',
} as const;

/** The first server needs its own address for each connection, and the second one never. */
export const namesNginx: InboundWorkload = {
  ...COMMON,
  name: 'names-nginx',
  title: 'names of published ports: nginx',
  program: 'wrk, 8 at a time, kept and with `Connection: close`',
  metrics: [
    rate('asks_new', 'nginx asks, new connections'),
    rate('asks_kept', 'nginx asks, kept connections'),
    rate('new', 'nginx, new connections'),
    rate('kept', 'nginx, kept connections'),
  ],
  seconds: 1,
  ports: 2,
  serve: ([asks, plain]) => `${configureNginx(`  keepalive_requests 100000000;
  server { listen ${asks}; location / { return 200 "$server_addr:$server_port\n"; } }
  server { listen ${plain}; location / { return 200 "$remote_addr\n"; } }`)}
exec ${NGINX}`,
  client: ({ server, ports }: InboundTarget, { seconds }: Settings) => {
    const urls = ports.map((port) => `http://${server}:${port}/`);
    const answers = urls.map((url) => answered(`curl -sf -m 1 ${url} >/dev/null`)).join('\n');
    const measured = urls.flatMap((url) => [
      wrk(url, seconds).join(' && '),
      wrkKept(url, seconds).join(' && '),
    ]);
    return `${answers}\n${steps(...measured)}`;
  },
  parse: (output): Metrics => {
    const rates = outputs(output).map((text) => parseWrk(text).per_second);
    const [asksNew, asksKept, fresh, kept] = rates;
    if (kept === undefined) throw new Error('not all of wrk was run');
    return { asks_new: asksNew, asks_kept: asksKept, new: fresh, kept } as Metrics;
  },
};

export const namesRedis: InboundWorkload = {
  ...COMMON,
  name: 'names-redis',
  title: 'names of published ports: Redis',
  program: `redis-benchmark, GET, ${CLIENTS} clients, kept and with \`-k 0\``,
  metrics: [rate('kept', 'Redis, kept connections'), rate('new', 'Redis, new connections')],
  seconds: 0,
  ports: 1,
  serve: ([port]) => `exec redis-server --port ${port} --save '' --protected-mode no >/dev/null`,
  client: ({ server, ports: [port] }: InboundTarget) => {
    const load = (requests: number, options = '') =>
      `redis-benchmark -h ${server} -p ${port} -t get -c ${CLIENTS} -n ${requests}${options} --csv`;
    const answers = answered(`[ "$(redis-cli -h ${server} -p ${port} ping 2>&1)" = PONG ]`);
    return `${answers}\n${load(KEPT_REQUESTS / 4)} >/dev/null\n${steps(load(KEPT_REQUESTS), load(NEW_CONNECTIONS, ' -k 0'))}`;
  },
  parse: (output): Metrics => {
    const [kept, fresh] = outputs(output).map(readGet);
    if (kept === undefined || fresh === undefined) throw new Error('redis-benchmark ran once');
    return { kept, new: fresh };
  },
};

function readGet(output: string): number {
  const text = /^"GET","([\d.]+)"/m.exec(output)?.[1];
  if (text === undefined) throw new Error('redis-benchmark printed no result');
  return Number(text);
}
