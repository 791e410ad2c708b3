/** Bulk transfers with iperf3. TCP's first second (slow start) is not counted. */
import { z } from 'zod';
import { splitCpu, withCpu } from './cpu.js';
import type { ScriptWorkload } from './workload.js';

const WARM_UP_SECONDS = 1;
const GIGA = 1e9;
const GIB = 2 ** 30;
const UDP_PAYLOAD = 1_400;
/** The lab's remote has several addresses: a UDP server that is bound to none of them answers from the wrong one. */
const UDP_SERVER_PORT = 5209;

const rate = z.object({ bits_per_second: z.number() });
const tcpReport = z.object({
  intervals: z.array(z.object({ sum: z.object({ bytes: z.number() }) })),
  end: z.object({ sum_received: rate }),
});
const udpReport = z.object({
  end: z.object({
    sum: z.object({ bits_per_second: z.number(), lost_percent: z.number() }),
    sum_received: rate.optional(),
  }),
});

/** Tries again while iperf3's server is busy with the last client, or listens anew after it. Prints iperf3's JSON. */
export function iperf3(options: string): string {
  return `
      i=0
      until out=$(iperf3 -J ${options}); do
        i=$((i + 1))
        printf '%s\\n' "$out" | grep -Eq 'busy|refused|reset by peer' && [ $i -lt 8 ] || { printf '%s\\n' "$out" | grep error >&2; exit 1; }
        sleep 0.5
      done
      printf '%s\\n' "$out"`;
}

function tcp(direction: 'up' | 'down', streams: number): ScriptWorkload {
  const several = streams > 1;
  const title = `${direction}load${several ? `, ${streams} streams` : ''}`;
  const options = `${direction === 'down' ? ' -R' : ''}${several ? ` -P ${streams}` : ''}`;
  return {
    kind: 'script',
    name: `tcp-${direction}${several ? `-${streams}` : ''}`,
    title,
    program: 'iperf3',
    metrics: [
      { name: 'gbits', title, unit: 'Gbit/s', better: 'higher' },
      { name: 'cpu_per_gib', title: `CPU, ${title}`, unit: 's/GiB', better: 'lower' },
    ],
    baseline: 'host',
    seconds: several ? 2 : 3,
    ...(several ? { rounds: 2 } : {}),
    needs: { server: 'iperf3' },
    script: (place, { seconds }) =>
      withCpu(iperf3(`-c ${place.server} -t ${seconds} -O ${WARM_UP_SECONDS}${options}`)),
    parse: parseTcp,
    switchedAtLeast: () => 1 + streams, // the control connection and the streams
  };
}

/** CPU time is that of all bytes, the first second's included. */
export function parseTcp(output: string): { readonly gbits: number; readonly cpu_per_gib: number } {
  const { text, busySeconds } = splitCpu(output);
  const { gbits, bytes } = readTcpReport(text);
  return { gbits, cpu_per_gib: busySeconds / (bytes / GIB) };
}

/** What the receiver got without the warm-up, and all bytes. Throws when there are none. */
export function readTcpReport(json: string): { readonly gbits: number; readonly bytes: number } {
  const { intervals, end } = tcpReport.parse(JSON.parse(json));
  const bytes = intervals.reduce((total, { sum }) => total + sum.bytes, 0);
  if (bytes === 0) throw new Error('iperf3 moved nothing');
  return { gbits: end.sum_received.bits_per_second / GIGA, bytes };
}

export const tcpUp = tcp('up', 1);
export const tcpDown = tcp('down', 1);
export const tcpUp4 = tcp('up', 4);
export const tcpDown4 = tcp('down', 4);

/** As fast as it goes, so that some is lost everywhere. */
export const udp: ScriptWorkload = {
  kind: 'script',
  name: 'udp',
  title: 'UDP',
  program: `iperf3, datagrams of ${UDP_PAYLOAD} bytes, unlimited`,
  metrics: [
    { name: 'gbits', title: 'UDP received', unit: 'Gbit/s', better: 'higher' },
    { name: 'lost_percent', title: 'lost', unit: '%', better: 'lower', withoutRatio: true },
  ],
  baseline: 'host',
  seconds: 2,
  rounds: 2,
  needs: { server: 'iperf3' },
  server: {
    name: 'iperf3',
    port: UDP_SERVER_PORT,
    script: `exec iperf3 --server --port=${UDP_SERVER_PORT} --bind=10.77.0.100`,
    ready: `[ -n "$(ss -Hltn "sport = :${UDP_SERVER_PORT}")" ]`,
  },
  script: ({ server, startServer }, { seconds }) => {
    const port = startServer === undefined ? '' : ` -p ${UDP_SERVER_PORT}`;
    return iperf3(`-u -b 0 -l ${UDP_PAYLOAD} -c ${server}${port} -t ${seconds}`);
  },
  parse: parseUdp,
  switchedAtLeast: () => 1, // the control connection
};

export function parseUdp(output: string): {
  readonly gbits: number;
  readonly lost_percent: number;
} {
  const { sum, sum_received: received } = udpReport.parse(JSON.parse(output)).end;
  const arrived = received?.bits_per_second ?? sum.bits_per_second * (1 - sum.lost_percent / 100);
  return { gbits: arrived / GIGA, lost_percent: sum.lost_percent };
}
