/** New connections to the remote machine: how many a second, and how long one takes. */
import { PROBE } from '../runner/session.js';
import { type Metrics, parseJsonLine, type Workload } from './workload.js';

const PARALLEL = 8;
const WARM_UP_SECONDS = 1;
const LATENCY_SAMPLES = 2_000;
/** Of the counted requests: the warm-up is switched, too, so this is far on the safe side. */
const SWITCHED_SHARE = 0.95;

const PER_SECOND = {
  name: 'per_second',
  title: 'connections',
  unit: '1/s',
  better: 'higher',
} as const;

/** wrk, 8 at a time, one request a connection. */
export const connectionRate: Workload = {
  name: 'connection-rate',
  title: 'new connections a second',
  metrics: [PER_SECOND],
  baseline: 'host',
  seconds: 4,
  script: ({ server, httpPort }, { seconds }) => {
    const wrk = (duration: number) =>
      `wrk -t 2 -c ${PARALLEL} -d ${duration}s -H 'Connection: close' http://${server}:${httpPort}/`;
    return `${wrk(WARM_UP_SECONDS)} >/dev/null && ${wrk(seconds)}`;
  },
  parse: parseWrk,
  switchedAtLeast: ({ requests = 0 }) => requests * SWITCHED_SHARE,
};

/** The same with the probe, where wrk cannot be expected. */
export const connectionRateProbe: Workload = {
  ...connectionRate,
  name: 'connection-rate-probe',
  script: ({ server, httpPort }, { seconds }) => {
    const probe = (duration: number) =>
      `${PROBE} rate ${server} ${httpPort} ${duration} ${PARALLEL}`;
    return `${probe(WARM_UP_SECONDS)} >/dev/null && ${probe(seconds)}`;
  },
  parse: (output) => complete(parseJsonLine(output)),
};

/** A blocking connect, one after the other. */
export const connectLatency: Workload = {
  name: 'connect-latency',
  title: 'time of a connect',
  metrics: [
    { name: 'p50_us', title: 'connect p50', unit: 'us', better: 'lower' },
    { name: 'p99_us', title: 'connect p99', unit: 'us', better: 'lower' },
  ],
  baseline: 'host',
  seconds: 0,
  script: ({ server, httpPort }) => `${PROBE} connect ${server} ${httpPort} ${LATENCY_SAMPLES}`,
  parse: parseJsonLine,
  switchedAtLeast: () => LATENCY_SAMPLES,
};

function parseWrk(output: string): Metrics {
  const rate = /^Requests\/sec:\s+([0-9.]+)/m.exec(output)?.[1];
  const requests = /^\s*([0-9]+) requests in /m.exec(output)?.[1];
  if (rate === undefined || requests === undefined) throw new Error('wrk printed no result');
  const errors = /Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)/
    .exec(output)
    ?.slice(1)
    .map(Number);
  const failed = (errors ?? []).reduce((sum, count) => sum + count, 0);
  return complete({ per_second: Number(rate), requests: Number(requests), failed });
}

/** Rates of which a part failed say nothing. */
function complete(metrics: Metrics): Metrics {
  const { requests = 0, failed = 0 } = metrics;
  if (requests === 0) throw new Error('no request was answered');
  if (failed > requests / 100) throw new Error(`${failed} of ${requests + failed} requests failed`);
  return metrics;
}
