/** Bulk TCP with iperf3, one stream. The first second (slow start) is not counted. */
import { z } from 'zod';
import type { Workload } from './workload.js';

const WARM_UP_SECONDS = 1;
const GIGA = 1e9;

const report = z.object({
  end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }),
});

function workload(name: string, title: string, options: string): Workload {
  return {
    name,
    title,
    metrics: [{ name: 'gbits', title, unit: 'Gbit/s', better: 'higher' }],
    baseline: 'host',
    seconds: 3,
    // iperf3's server is still busy with the last client for a moment.
    script: (place, { seconds }) => `
      i=0
      until out=$(iperf3 -J -c ${place.server} -t ${seconds} -O ${WARM_UP_SECONDS}${options}); do
        i=$((i + 1))
        [ $i -lt 5 ] || { printf '%s\\n' "$out" | grep error >&2; exit 1; }
        sleep 0.5
      done
      printf '%s\\n' "$out"`,
    parse: (output) => {
      const { end } = report.parse(JSON.parse(output));
      return { gbits: end.sum_received.bits_per_second / GIGA };
    },
    switchedAtLeast: () => 2, // the control connection and the stream
  };
}

export const tcpUp = workload('tcp-up', 'upload', '');
export const tcpDown = workload('tcp-down', 'download', ' -R');
