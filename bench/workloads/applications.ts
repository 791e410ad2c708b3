/**
 * Common servers on the remote machine, loaded by their own (or a usual) benchmark program in the container. The list is that of
 * the bypass4netns paper (arXiv:2402.00365); all programs are Debian's. Servers keep their data in memory or do not wait for
 * the disk: the network is to be the limit.
 */
import { z } from 'zod';
import type { Place, ServerProgram } from '../places/place.js';
import { parseWrk } from './connections.js';
import type { Metric, Metrics, Needs, ScriptWorkload, Settings } from './workload.js';

const CLIENTS = 8;
const THREADS = 2;
const BLOCK_BYTES = 2 ** 20;
const REDIS_REQUESTS = 30_000;
const REDIS_CLIENTS = 50;
const SQL_QUERIES = 4_000;
const MESSAGES = 50_000;
const MESSAGE_BYTES = 64;
/** On the remote machine. */
const DATA = '/var/tmp/sockswitch-bench';

/** Clients that localhost/lab does not have are in the lab's application layer. */
const LAYER = '/opt/lab/applications';
const WITH_LAYER = {
  needs: { lab: true, applications: true },
  podmanArgs: [`--volume=${LAYER}:${LAYER}:ro`],
} as const;
const USE_LAYER = `export PATH=${LAYER}/usr/bin:$PATH LD_LIBRARY_PATH=$(echo ${LAYER}/usr/lib/*-linux-gnu)`;

interface Application {
  readonly name: string;
  readonly title: string;
  readonly program: string;
  readonly metrics: readonly Metric[];
  readonly server?: ServerProgram;
  readonly needs?: Needs;
  readonly podmanArgs?: readonly string[];
  readonly seconds: number;
  readonly script: (place: Place, settings: Settings) => string;
  readonly parse: (output: string) => Metrics;
  /** Connections that its client makes at least. */
  readonly connections: number;
}

function application({ connections, ...rest }: Application): ScriptWorkload {
  return {
    needs: { lab: true },
    ...rest,
    kind: 'script',
    baseline: 'host',
    rounds: 2,
    // A reference for the network, not for applications, and not as sysctls.
    suits: ({ needsRoot }) => needsRoot !== 'settings',
    switchedAtLeast: () => connections,
  };
}

function perSecond(title: string, name = 'per_second'): Metric {
  return { name, title, unit: '1/s', better: 'higher' };
}

/** wrk's. */
function requestRate(output: string): number {
  const { per_second: rate = 0 } = parseWrk(output);
  return rate;
}

/** The number in the first group. Throws with the program's name where the output has none. */
function find(output: string, pattern: RegExp, program: string): number {
  const text = pattern.exec(output)?.[1];
  if (text === undefined) throw new Error(`${program} printed no result`);
  return Number(text);
}

export const http = application({
  name: 'nginx',
  title: 'nginx',
  program: `wrk, ${CLIENTS} kept connections, blocks of 1 MiB`,
  metrics: [{ name: 'mib_s', title: 'nginx, 1 MiB blocks', unit: 'MiB/s', better: 'higher' }],
  seconds: 2,
  script: ({ server, httpPort }, { seconds }) =>
    `wrk -t ${THREADS} -c ${CLIENTS} -d ${seconds}s -H 'Range: bytes=0-${BLOCK_BYTES - 1}' http://${server}:${httpPort}/big`,
  parse: (output) => ({ mib_s: requestRate(output) }),
  connections: CLIENTS,
});

export const redis = application({
  name: 'redis',
  title: 'Redis',
  program: `redis-benchmark, ${REDIS_CLIENTS} clients`,
  metrics: [perSecond('Redis SET', 'set'), perSecond('Redis GET', 'get')],
  seconds: 0,
  script: ({ server }) =>
    `redis-benchmark -h ${server} -t set,get -n ${REDIS_REQUESTS} -c ${REDIS_CLIENTS} --csv`,
  parse: (output) => ({
    set: find(output, /^"SET","([\d.]+)"/m, 'redis-benchmark'),
    get: find(output, /^"GET","([\d.]+)"/m, 'redis-benchmark'),
  }),
  connections: REDIS_CLIENTS,
});

export const memcached = application({
  ...WITH_LAYER,
  name: 'memcached',
  title: 'memcached',
  program: `memcaslap, ${CLIENTS} clients, nine gets to a set`,
  metrics: [perSecond('memcached')],
  server: {
    name: 'memcached',
    port: 11211,
    script: 'exec memcached --user=nobody --listen=0.0.0.0 --threads=2',
    ready: '[ -n "$(ss -Hltn "sport = :11211")" ]',
  },
  seconds: 2,
  script: ({ server }, { seconds }) =>
    `${USE_LAYER}; memcaslap -s ${server}:11211 -t ${seconds}s -T ${THREADS} -c ${CLIENTS}`,
  parse: (output) => ({ per_second: find(output, /TPS: (\d+)/, 'memcaslap') }),
  connections: CLIENTS,
});

export const postgresql = application({
  name: 'postgresql',
  title: 'PostgreSQL',
  program: `pgbench -S, ${CLIENTS} clients`,
  metrics: [
    perSecond('PostgreSQL'),
    { name: 'latency_ms', title: 'PostgreSQL latency', unit: 'ms', better: 'lower' },
  ],
  server: {
    name: 'PostgreSQL',
    port: 5432,
    script: `set -e
bin=$(echo /usr/lib/postgresql/*/bin) data=${DATA}/postgresql
if [ ! -e $data ]; then
  mkdir -p ${DATA} && install -d -o postgres -m 0700 $data
  setpriv --reuid=postgres --regid=postgres --clear-groups $bin/initdb -D $data -A trust -N >/dev/null
  echo 'host all all all trust' >>$data/pg_hba.conf
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups $bin/postgres -D $data -h '*' -k /tmp -c fsync=off`,
    ready: `psql -qAt -h /tmp -U postgres -c 'SELECT 1 FROM pgbench_accounts LIMIT 1' 2>/dev/null || {
  psql -qAt -h /tmp -U postgres -c 'SELECT 1' && $(echo /usr/lib/postgresql/*/bin/pgbench) -h /tmp -U postgres -i -q postgres; }`,
  },
  seconds: 2,
  script: ({ server }, { seconds }) =>
    `$(echo /usr/lib/postgresql/*/bin/pgbench) -h ${server} -U postgres -n -S -c ${CLIENTS} -j ${THREADS} -T ${seconds} postgres`,
  parse: (output) => ({
    per_second: find(output, /^tps = ([\d.]+)/m, 'pgbench'),
    latency_ms: find(output, /^latency average = ([\d.]+) ms/m, 'pgbench'),
  }),
  connections: CLIENTS,
});

export const mariadb = application({
  ...WITH_LAYER,
  name: 'mariadb',
  title: 'MariaDB',
  program: `mariadb-slap, ${CLIENTS} clients, generated statements`,
  metrics: [perSecond('MariaDB')],
  server: {
    name: 'MariaDB',
    port: 3306,
    script: `set -e
data=${DATA}/mariadb
if [ ! -e $data ]; then
  mkdir -p ${DATA} && install -d -o mysql -m 0700 $data
  mariadb-install-db --user=mysql --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
fi
exec mariadbd --no-defaults --user=mysql --datadir=$data --socket=/tmp/mariadb.sock --bind-address=0.0.0.0 \\
  --innodb-flush-log-at-trx-commit=0`,
    ready: `mariadb --no-defaults --socket=/tmp/mariadb.sock --user=root \\
  --execute="CREATE USER IF NOT EXISTS bench@'%'; GRANT ALL ON *.* TO bench@'%'"`,
  },
  seconds: 0,
  script: ({ server }) =>
    `${USE_LAYER}; mariadb-slap --no-defaults --skip-ssl --host=${server} --user=bench --concurrency=${CLIENTS} \\
  --number-of-queries=${SQL_QUERIES} --auto-generate-sql --create-schema=slap`,
  parse: (output) => ({
    per_second:
      SQL_QUERIES / find(output, /Average number of seconds[^:]*: ([\d.]+)/, 'mariadb-slap'),
  }),
  connections: CLIENTS,
});

export const etcd = application({
  ...WITH_LAYER,
  name: 'etcd',
  title: 'etcd',
  program: `wrk, ${CLIENTS} kept connections, puts through the HTTP gateway`,
  metrics: [perSecond('etcd put')],
  server: {
    name: 'etcd',
    port: 2379,
    script: `mkdir -p ${DATA}
exec etcd --data-dir=${DATA}/etcd --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://127.0.0.1:2379 \\
  --log-level=error --unsafe-no-fsync`,
    ready: 'curl -fsS http://127.0.0.1:2379/health',
  },
  seconds: 2,
  // The key and the value are base64, as the gateway wants it: "key", "value".
  script: ({ server }, { seconds }) => `cat >/tmp/put.lua <<'LUA'
wrk.method = "POST"
wrk.body = '{"key":"a2V5","value":"dmFsdWU="}'
wrk.headers["Content-Type"] = "application/json"
LUA
wrk -t ${THREADS} -c ${CLIENTS} -d ${seconds}s -s /tmp/put.lua http://${server}:2379/v3/kv/put`,
  parse: (output) => ({ per_second: requestRate(output) }),
  connections: CLIENTS,
});

const elapsed = z.object({ ns: z.number().positive() });

export const rabbitmq = application({
  ...WITH_LAYER,
  name: 'rabbitmq',
  title: 'RabbitMQ',
  program: `amqp-publish, one publisher, ${MESSAGE_BYTES} bytes a message`,
  metrics: [perSecond('RabbitMQ publish')],
  server: {
    name: 'RabbitMQ',
    port: 5672,
    // The port mapper of Erlang outlives the server unless it is told to go.
    script: `data=${DATA}/rabbitmq
mkdir -p $data && echo 'loopback_users = none' >$data/rabbitmq.conf
export HOME=/root RABBITMQ_NODENAME=bench@localhost RABBITMQ_MNESIA_BASE=$data RABBITMQ_LOG_BASE=$data RABBITMQ_LOGS=- \\
  RABBITMQ_CONFIG_FILE=$data/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$data/plugins
/usr/lib/rabbitmq/bin/rabbitmq-server & server=$!
trap 'kill $server; wait $server; epmd -kill' TERM
wait $server`,
    ready: '[ -n "$(ss -Hltn "sport = :5672")" ]',
  },
  seconds: 0,
  // The broker has read all messages once it has closed the connection.
  script: ({ server }) => `set -e
${USE_LAYER}
broker=amqp://guest:guest@${server}
queue=$(amqp-declare-queue --url=$broker --queue=sockswitch-$$)
trap 'amqp-delete-queue --url=$broker --queue=$queue >/dev/null' EXIT
message=$(printf '%0${MESSAGE_BYTES}d' 0)
publish() { yes $message | head -n "$1" | amqp-publish --url=$broker --routing-key=$queue --line-buffered; }
publish ${MESSAGES / 10}
begin=$(date +%s%N); publish ${MESSAGES}; end=$(date +%s%N)
echo '{"ns":' $((end - begin))'}'`,
  parse: (output) => {
    const line = output.split('\n').find((text) => text.startsWith('{')) ?? '';
    return { per_second: (MESSAGES * 1e9) / elapsed.parse(JSON.parse(line)).ns };
  },
  connections: 3,
});
