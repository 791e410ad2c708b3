/** Connections to the remote machine: how many a second, how long one takes, and how long a request on a kept one. */
import { PROBE } from '../runner/session.js';
import { splitCpu, withCpu } from './cpu.js';
import { type Metric, type Metrics, parseJsonLine, type ScriptWorkload } from './workload.js';

const PARALLEL = 8;
const WARM_UP_SECONDS = 1;
const LATENCY_SAMPLES = 2_000;
const EPOLL_SAMPLES = 500;
const EPOLL_SIZES = [10, 5_000];
const REQUESTS_PER_SECOND = 1_000;
/** Of the counted requests: the warm-up is switched, too, so this is far on the safe side. */
const SWITCHED_SHARE = 0.95;

const RATE: readonly Metric[] = [
  { name: 'per_second', title: 'connections', unit: '1/s', better: 'higher' },
  { name: 'cpu_per_10k', title: 'CPU, 10,000 connections', unit: 's', better: 'lower' },
];

/** What `wrk` runs, for the documentation. */
export const WRK = `wrk, ${PARALLEL} at a time, \`Connection: close\``;

/** One request a connection: a command that warms up silently, and the one that measures, for `parseWrk`. */
export function wrk(url: string, seconds: number): readonly [string, string] {
  const command = (duration: number) =>
    `wrk -t 2 -c ${PARALLEL} -d ${duration}s -H 'Connection: close' ${url}`;
  return [`${command(WARM_UP_SECONDS)} >/dev/null`, command(seconds)];
}

/** The same with connections that are kept. */
export function wrkKept(url: string, seconds: number): readonly [string, string] {
  const command = (duration: number) => `wrk -t 2 -c ${PARALLEL} -d ${duration}s ${url}`;
  return [`${command(WARM_UP_SECONDS)} >/dev/null`, command(seconds)];
}

/** wrk, 8 at a time, one request a connection. */
export const connectionRate: ScriptWorkload = {
  kind: 'script',
  name: 'connection-rate',
  title: 'new connections a second',
  program: WRK,
  metrics: RATE,
  baseline: 'host',
  seconds: 4,
  needs: { lab: true, server: 'http' },
  script: ({ server, httpPort }, { seconds }) => {
    const [warmUp, measured] = wrk(`http://${server}:${httpPort}/`, seconds);
    return `${warmUp} && ${withCpu(measured)}`;
  },
  parse: (output) => {
    const { text, busySeconds } = splitCpu(output);
    return withCpuOf(parseWrk(text), busySeconds);
  },
  switchedAtLeast: ({ requests = 0 }) => requests * SWITCHED_SHARE,
};

/** The same with the probe, where wrk cannot be expected. */
export const connectionRateProbe: ScriptWorkload = {
  ...connectionRate,
  name: 'connection-rate-probe',
  needs: { server: 'http' },
  program: `probe, ${PARALLEL} at a time, \`Connection: close\``,
  script: ({ server, httpPort }, { seconds }) => {
    const probe = (duration: number) =>
      `${PROBE} rate ${server} ${httpPort} ${duration} ${PARALLEL}`;
    return `${probe(WARM_UP_SECONDS)} >/dev/null && ${withCpu(probe(seconds))}`;
  },
  parse: (output) => {
    const { text, busySeconds } = splitCpu(output);
    return withCpuOf(complete(parseJsonLine(text)), busySeconds);
  },
};

/** A blocking connect, one after the other. */
export const connectLatency: ScriptWorkload = {
  kind: 'script',
  name: 'connect-latency',
  title: 'time of a connect',
  program: 'probe, a blocking `connect` after the other',
  metrics: [
    { name: 'p50_us', title: 'connect p50', unit: 'us', better: 'lower' },
    { name: 'p99_us', title: 'connect p99', unit: 'us', better: 'lower' },
  ],
  baseline: 'host',
  seconds: 0,
  needs: { server: 'http' },
  script: ({ server, httpPort }) => `${PROBE} connect ${server} ${httpPort} ${LATENCY_SAMPLES}`,
  parse: parseJsonLine,
  switchedAtLeast: () => LATENCY_SAMPLES,
};

/** As event loops connect: the socket is in an epoll set before, beside few others or many. */
export const connectEpoll: ScriptWorkload = {
  kind: 'script',
  name: 'connect-epoll',
  title: 'time of a connect in an epoll set',
  program: 'probe, non-blocking and registered before, in sets of 10 and of 5,000',
  metrics: [
    { name: 'few_p50_us', title: 'connect p50, set of 10', unit: 'us', better: 'lower' },
    { name: 'many_p50_us', title: 'connect p50, set of 5,000', unit: 'us', better: 'lower' },
  ],
  baseline: 'host',
  seconds: 0,
  needs: { server: 'http' },
  // The floor carries no registration over.
  suits: ({ name }) => name !== 'floor',
  script: ({ server, httpPort }) =>
    EPOLL_SIZES.map((size) => `${PROBE} epoll ${server} ${httpPort} ${EPOLL_SAMPLES} ${size}`).join(
      ' && ',
    ),
  parse: (output) => {
    const [few = '', many = ''] = output.trim().split('\n');
    const { p50_us: few_p50_us = Number.NaN } = parseJsonLine(few);
    const { p50_us: many_p50_us = Number.NaN } = parseJsonLine(many);
    return { few_p50_us, many_p50_us };
  },
  // Those in the small set. The large one is read for a tenth of the time only.
  switchedAtLeast: () => EPOLL_SAMPLES,
};

/** What a device that a socket is bound to costs; the same for whoever binds it, so only measured on the host's network. */
export const pin: ScriptWorkload = {
  kind: 'script',
  name: 'pin',
  title: 'cost of a bound device',
  program: 'probe, with and without SO_BINDTOIFINDEX in turns of 50 ms',
  metrics: [
    {
      name: 'cost_percent',
      title: 'of the connection rate, for a bound device',
      unit: '%',
      better: 'lower',
      withoutRatio: true,
    },
  ],
  baseline: 'host',
  seconds: 6,
  needs: { server: 'http' },
  suits: ({ name }) => name === 'host',
  script: ({ server, httpPort }, { seconds }) => `${PROBE} pin ${server} ${httpPort} ${seconds}`,
  parse: parseJsonLine,
  switchedAtLeast: () => 0,
};

/** HTTP requests on a kept connection, on a fixed schedule; each is timed from when it was due, so that a stall counts in full. */
export const requestLatency: ScriptWorkload = {
  kind: 'script',
  name: 'request-latency',
  title: `time of a request, ${REQUESTS_PER_SECOND.toLocaleString('en-US')} a second`,
  program: `probe, ${REQUESTS_PER_SECOND.toLocaleString('en-US')} requests a second on one connection`,
  metrics: [
    { name: 'p50_us', title: 'request p50', unit: 'us', better: 'lower' },
    { name: 'p99_us', title: 'request p99', unit: 'us', better: 'lower' },
  ],
  baseline: 'host',
  seconds: 2,
  needs: { server: 'http' },
  script: ({ server, httpPort }, { seconds }) =>
    `${PROBE} requests ${server} ${httpPort} ${seconds} ${REQUESTS_PER_SECOND}`,
  parse: parseJsonLine,
  switchedAtLeast: () => 1,
};

function withCpuOf(metrics: Metrics, busySeconds: number): Metrics {
  const { requests = 0 } = metrics;
  return { ...metrics, cpu_per_10k: (busySeconds * 10_000) / requests };
}

/** Reads wrk's report. Throws when it is none, or when many requests failed. */
export function parseWrk(output: string): Metrics & { readonly per_second: number } {
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
export function complete<Rates extends Metrics>(metrics: Rates): Rates {
  const { requests = 0, failed = 0 } = metrics;
  if (requests === 0) throw new Error('no request was answered');
  if (failed > requests / 100) throw new Error(`${failed} of ${requests + failed} requests failed`);
  return metrics;
}
