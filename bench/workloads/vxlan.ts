/**
 * A VXLAN tunnel between a container on each of two rootless hosts, as Kubernetes' overlay networks make it, with bulk TCP in
 * it. The kernel sends its UDP packets itself, so that no system call of theirs can be switched.
 */
import { z } from 'zod';
import { iperf3 } from './throughput.js';
import type { ScriptWorkload } from './workload.js';

const PORT = 8472;
/** For drivers that have to be told. */
export const TUNNEL = '192.168.42.0/24';
const NEAR = '192.168.42.1';
const FAR = '192.168.42.2';
const WARM_UP_SECONDS = 1;

const report = z.object({
  end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }),
});

export const vxlan: ScriptWorkload = {
  kind: 'script',
  name: 'vxlan',
  title: 'VXLAN between two hosts',
  program: `iperf3 in a kernel VXLAN tunnel, UDP port ${PORT} published on both hosts`,
  metrics: [{ name: 'gbits', title: 'through VXLAN', unit: 'Gbit/s', better: 'higher' }],
  baseline: 'unaccelerated',
  seconds: 2,
  rounds: 2,
  needs: { lab: true },
  suits: ({ ownNetwork }) => ownNetwork,
  podmanArgs: ['--cap-add=NET_ADMIN', `--publish=${PORT}:${PORT}/udp`],
  far: (place) => `${tunnel(FAR, place.address)}
exec iperf3 -s`,
  script: (place, { seconds }) => `${tunnel(NEAR, place.peer?.address ?? '')}
i=0
until ping -q -c 1 -W 1 ${FAR} >/dev/null; do
  i=$((i + 1))
  [ $i -lt 20 ] || { echo 'no answer through the tunnel' >&2; exit 1; }
done
${iperf3(`-c ${FAR} -t ${seconds} -O ${WARM_UP_SECONDS}`)}`,
  parse: (output) => {
    const { end } = report.parse(JSON.parse(output));
    return { gbits: end.sum_received.bits_per_second / 1e9 };
  },
  switchedAtLeast: () => 0,
};

// Without learning: user-mode networks may show another sender than the peer's address.
function tunnel(address: string, peer: string): string {
  return `set -e
ip link add vxlan0 type vxlan id 42 dstport ${PORT} remote ${peer} nolearning
ip address add ${address}/24 dev vxlan0
ip link set vxlan0 mtu 1400 up`;
}
