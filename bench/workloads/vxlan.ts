/**
 * A VXLAN tunnel between a container on each of two rootless hosts, as flannel makes it, and a pod behind a bridge in each: what Kubernetes'
 * overlay networks are. The kernel sends the tunnel's UDP packets itself, so that no system call of theirs can be switched.
 *
 * The devices are made by the measuring script, in the container. A driver that carries tunnels has a moment to find them, and must
 * have found them: a trial whose packets went over the fallback network is a failed one.
 */
import type { Driver } from '../drivers/driver.js';
import { PROBE } from '../runner/session.js';
import { withCpu } from './cpu.js';
import { configureNginx, NGINX } from './nginx.js';
import { outputs, steps } from './steps.js';
import { iperf3, parseTcp, parseUdp, readTcpReport } from './throughput.js';
import { type Metric, parseJsonLine, type ScriptWorkload } from './workload.js';

const PORT = 8472;
/** For drivers that have to be told. */
export const TUNNEL = '10.244.0.0/16';
const DEVICE = 'bench-vxlan';
const BRIDGE = 'bench-pods';
/** What is made in the network namespace of the container. */
export const DEVICES: readonly string[] = [DEVICE, BRIDGE];
/** Of the tunnel's packets around those of the pods, in IPv4. */
const OVERHEAD = 50;
const USUAL_MTU = 1_450;
const WARM_UP_SECONDS = 1;
const HTTP_PORT = 80;
const REQUESTS_PER_SECOND = 1_000;
const DATAGRAMS = [64, 512, 1_400] as const;

const FAR_POD = '10.244.2.2';
const IN_POD = 'nsenter -t $pod -n';

const COMMON = {
  kind: 'script',
  baseline: 'unaccelerated',
  reference: 'direct-tunnel',
  rounds: 2,
  needs: { lab: true },
  suits: ({ ownNetwork, unaccelerated, name }: Driver) =>
    ownNetwork && (unaccelerated !== undefined || name === 'pasta' || name === 'slirp4netns'),
  podmanArgs: ['--privileged', `--publish=${PORT}:${PORT}/udp`],
  switchedAtLeast: () => 0,
} as const;

type MtuOf = 'usual' | 'largest';

/**
 * Container `index` of 1 and 2, with its pod's process in $pod. Without learning: user-mode networks may show another sender than the
 * peer's address.
 */
function node(index: 1 | 2, peer: string, mtu: MtuOf): string {
  const other = 3 - index;
  return `set -e
own=$(ip -4 -o address show scope global up | sed -n 's/.* inet \\([^/]*\\).*/\\1/p' | head -n 1)
outside=$(ip -o route get ${peer} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
mtu=${mtu === 'usual' ? USUAL_MTU : `$(($(cat /sys/class/net/$outside/mtu) - ${OVERHEAD}))`}
ip link add ${DEVICE} type vxlan id 1 dstport ${PORT} nolearning local $own
ip link set ${DEVICE} address 02:00:00:00:00:0${index} mtu $mtu up
ip address add 10.244.${index}.0/32 dev ${DEVICE}
ip route add 10.244.${other}.0/24 via 10.244.${other}.0 dev ${DEVICE} onlink
ip neigh add 10.244.${other}.0 lladdr 02:00:00:00:00:0${other} dev ${DEVICE} nud permanent
bridge fdb add 02:00:00:00:00:0${other} dev ${DEVICE} dst ${peer}
ip link add ${BRIDGE} type bridge
ip link set ${BRIDGE} mtu $mtu up
ip address add 10.244.${index}.1/24 dev ${BRIDGE}
unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
pod=$!
until [ "$(readlink /proc/$pod/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add eth0 netns $pod mtu $mtu type veth peer name bench-pod mtu $mtu
ip link set bench-pod master ${BRIDGE} up
${IN_POD} sh -c '
  ip address add 10.244.${index}.2/24 dev eth0
  ip link set eth0 up
  ip link set lo up
  ip route add default via 10.244.${index}.1'
echo 1 >/proc/sys/net/ipv4/ip_forward
set +e`;
}

function far(mtu: MtuOf): NonNullable<ScriptWorkload['far']> {
  return (place) => `${node(2, place.address, mtu)}
${configureNginx(
  `  keepalive_requests 1000000;
  server {
    listen ${HTTP_PORT};
    location / { default_type text/plain; return 200 "hello\\n"; }
  }`,
  64,
)}
${IN_POD} ${NGINX} &
exec ${IN_POD} iperf3 -s`;
}

/** The near end, and `measure` in its pod. */
function near(mtu: MtuOf, peer: string, { switches }: Driver, measure: string): string {
  // A route of sockswitch carries its protocol number.
  const carried = `ip route show table all | grep -q 'proto 115'`;
  const wait = switches
    ? `
i=0
until ${carried}; do
  i=$((i + 1))
  [ $i -lt 100 ] || { echo 'the tunnel is not carried' >&2; exit 1; }
  sleep 0.1
done
sleep 1 # the other end follows`
    : '';
  const check = switches
    ? `\n${carried} || { echo 'the tunnel was on the fallback network' >&2; exit 1; }`
    : '';
  return `${node(1, peer, mtu)}
i=0
until ${IN_POD} ping -q -c 1 -W 1 ${FAR_POD} >/dev/null; do
  i=$((i + 1))
  [ $i -lt 15 ] || { echo 'no answer through the tunnel' >&2; exit 1; }
done${wait}
iperf3() { ${IN_POD} iperf3 "$@"; }
${measure} || exit 1${check}`;
}

/** A pod's network namespace takes the congestion control of the machine's first one: cubic is asked for. */
function bulk(seconds: number, options = ''): string {
  return iperf3(`-c ${FAR_POD} -C cubic -t ${seconds} -O ${WARM_UP_SECONDS}${options}`);
}

function tcp(name: string, title: string, mtu: MtuOf): ScriptWorkload {
  return {
    ...COMMON,
    name,
    title,
    program: 'iperf3, between two pods',
    metrics: [
      { name: 'gbits', title: 'up', unit: 'Gbit/s', better: 'higher' },
      { name: 'down_gbits', title: 'down', unit: 'Gbit/s', better: 'higher' },
      { name: 'up_4_gbits', title: 'up, 4 streams', unit: 'Gbit/s', better: 'higher' },
      { name: 'down_4_gbits', title: 'down, 4 streams', unit: 'Gbit/s', better: 'higher' },
      { name: 'cpu_per_gib', title: 'CPU, up', unit: 's/GiB', better: 'lower' },
    ],
    seconds: 2,
    far: far(mtu),
    script: (place, { seconds }, driver) =>
      near(
        mtu,
        place.peer?.address ?? '',
        driver,
        steps(
          withCpu(bulk(seconds)),
          bulk(seconds, ' -R'),
          bulk(seconds, ' -P 4'),
          bulk(seconds, ' -R -P 4'),
        ),
      ),
    parse: (output) => {
      const [up = '', ...rest] = outputs(output);
      const [down, up4, down4] = rest.map((text) => readTcpReport(text).gbits);
      if (down === undefined || up4 === undefined || down4 === undefined) {
        throw new Error('a measurement is missing');
      }
      return { ...parseTcp(up), down_gbits: down, up_4_gbits: up4, down_4_gbits: down4 };
    },
  };
}

export const vxlan = tcp('vxlan', `TCP through VXLAN, MTU ${USUAL_MTU}`, 'usual');
export const vxlanLarge = tcp('vxlan-large', 'TCP through VXLAN, largest MTU', 'largest');

function udpMetrics(size: number): Metric[] {
  const title = `UDP, ${size.toLocaleString('en-US')} bytes`;
  return [
    { name: `udp_${size}_mbits`, title, unit: 'Mbit/s', better: 'higher' },
    {
      name: `udp_${size}_lost_percent`,
      title: `${title}, lost`,
      unit: '%',
      better: 'lower',
      withoutRatio: true,
    },
  ];
}

/** A second. */
const PING = `${IN_POD} ping -q -i 0.01 -c 100 ${FAR_POD}`;

/** The mean, in microseconds: `rtt min/avg/max/mdev = 0.045/0.061/0.120/0.011 ms`. */
function parsePing(output: string): number {
  const [, mean] = /= [\d.]+\/([\d.]+)\//.exec(output) ?? [];
  if (mean === undefined) throw new Error(`ping: ${output.trim()}`);
  return Number(mean) * 1_000;
}

/** Requests at a rate that all can keep; echoes with nothing else there, and beside a transfer that takes all there is; then UDP as fast as it goes, so that some is lost everywhere. */
export const vxlanPackets: ScriptWorkload = {
  ...COMMON,
  name: 'vxlan-packets',
  title: `requests and packets through VXLAN, MTU ${USUAL_MTU}`,
  program: `iperf3, unlimited UDP; ping, beside nothing and beside iperf3; probe, ${REQUESTS_PER_SECOND.toLocaleString('en-US')} requests a second; between two pods`,
  metrics: [
    { name: 'p50_us', title: 'request p50', unit: 'us', better: 'lower' },
    { name: 'p99_us', title: 'request p99', unit: 'us', better: 'lower' },
    { name: 'ping_us', title: 'ping, idle', unit: 'us', better: 'lower' },
    { name: 'loaded_ping_us', title: 'ping, beside TCP', unit: 'us', better: 'lower' },
    ...DATAGRAMS.flatMap(udpMetrics),
  ],
  seconds: 2,
  far: far('usual'),
  script: (place, { seconds }, driver) =>
    near(
      'usual',
      place.peer?.address ?? '',
      driver,
      steps(
        `${IN_POD} ${PROBE} requests ${FAR_POD} ${HTTP_PORT} ${seconds} ${REQUESTS_PER_SECOND}`,
        PING,
        `(${bulk(seconds + WARM_UP_SECONDS)}) >/dev/null &\nload=$!\nsleep ${WARM_UP_SECONDS}\n${PING}\nwait $load`,
        ...DATAGRAMS.map((size) => iperf3(`-u -b 0 -l ${size} -c ${FAR_POD} -t ${seconds}`)),
      ),
    ),
  parse: (output) => {
    const [requests = '', idle = '', loaded = '', ...texts] = outputs(output);
    const metrics: Record<string, number> = {
      ...parseJsonLine(requests),
      ping_us: parsePing(idle),
      loaded_ping_us: parsePing(loaded),
    };
    for (const [index, size] of DATAGRAMS.entries()) {
      const { gbits, lost_percent } = parseUdp(texts[index] ?? '');
      metrics[`udp_${size}_mbits`] = gbits * 1_000;
      metrics[`udp_${size}_lost_percent`] = lost_percent;
    }
    return metrics;
  },
};
