/** What the figures must reach: `npm run bench -- --check` fails where a run falls short of it. docs/performance.md says why. */
import type { Run } from './report/results.js';
import { figure } from './report/statistics.js';
import { WORKLOADS } from './workloads/index.js';

export interface Limit {
  readonly workload: string;
  readonly metric: string;
  /** Least speed relative to the workload's baseline: the median over the rounds. */
  readonly ratio?: number;
  /** How much more than on --network=host it may be, in the metric's unit: difference of the medians. */
  readonly overHost?: number;
  /** Least value of the metric itself: the median. */
  readonly least?: number;
  /** Least speed relative to the best peer: quotient of the medians. */
  readonly peers?: number;
  /** Drivers that are peers here; PEERS, where this is left out. */
  readonly among?: readonly string[];
}

/** What sockswitch is an alternative to. */
const PEERS = ['pasta', 'slirp4netns', 'bypass4netns'];

/** Podman's own ways to publish a port; slirp4netns stands for rootlessport. */
const PUBLISHERS = ['pasta', 'slirp4netns'];

const CALLS = ['fcntl_ns', 'setsockopt_ns', 'dup_close_ns', 'open_close_ns', 'fork_exec_ns'];

/** For each driver that switches. */
export const LIMITS: readonly Limit[] = [
  { workload: 'tcp-up', metric: 'gbits', ratio: 0.95 },
  { workload: 'tcp-down', metric: 'gbits', ratio: 0.95 },
  { workload: 'tcp-up', metric: 'cpu_per_gib', ratio: 1 / 1.05 },
  { workload: 'connection-rate', metric: 'per_second', ratio: 0.6, peers: 1.8 },
  { workload: 'connect-latency', metric: 'p50_us', overHost: 20 },
  { workload: 'request-latency', metric: 'p50_us', ratio: 1 / 1.03 },
  { workload: 'request-latency', metric: 'p99_us', ratio: 1 / 1.03 },
  { workload: 'loopback-rate', metric: 'per_second', ratio: 0.85 },
  { workload: 'fairness', metric: 'share', least: 50 },
  { workload: 'unix-rate', metric: 'per_second', ratio: 0.85 },
  { workload: 'inbound-remote', metric: 'in_gbits', ratio: 0.97, peers: 1, among: PUBLISHERS },
  { workload: 'inbound-remote', metric: 'out_gbits', ratio: 0.97, peers: 1, among: PUBLISHERS },
  { workload: 'inbound-remote', metric: 'per_second', ratio: 0.8, peers: 1, among: PUBLISHERS },
  { workload: 'inbound-host', metric: 'gbits', peers: 1, among: ['slirp4netns'] },
  { workload: 'inbound-host', metric: 'per_second', peers: 1, among: ['slirp4netns'] },
  ...CALLS.map((metric) => ({ workload: 'calls', metric, ratio: 0.98 })),
];

export interface CheckResult {
  /** How many figures were there to be checked. */
  readonly checked: number;
  /** A sentence each. */
  readonly problems: readonly string[];
}

/** `drivers`: those that switch. Figures that the run does not have are not checked; those that failed are problems. */
export function checkLimits(
  run: Run,
  drivers: readonly string[],
  limits: readonly Limit[] = LIMITS,
): CheckResult {
  const results = limits.flatMap((limit) =>
    drivers
      .filter((driver) =>
        run.trials.some((t) => t.workload === limit.workload && t.driver === driver),
      )
      .map((driver) => problem(run, limit, driver)),
  );
  return {
    checked: results.length,
    problems: results.filter((text) => text !== undefined),
  };
}

function problem(run: Run, limit: Limit, driver: string): string | undefined {
  const workload = WORKLOADS.find(({ name }) => name === limit.workload);
  const metric = workload?.metrics.find(({ name }) => name === limit.metric);
  if (workload === undefined || metric === undefined) {
    throw new Error(`limit for an unknown figure: ${limit.workload} ${limit.metric}`);
  }
  const what = `${driver}, ${limit.workload}, ${limit.metric}`;
  const median = (name: string) => figure(run.trials, workload, metric, name).value?.median;
  const { value, ratio } = figure(run.trials, workload, metric, driver);
  if (value === undefined) return `${what}: no result`;
  if (limit.least !== undefined && value.median < limit.least) {
    return `${what}: ${value.median.toFixed(1)} ${metric.unit}, must be ${limit.least}`;
  }
  if (limit.overHost !== undefined) {
    const host = median('host');
    if (host === undefined) return `${what}: no result for host`;
    const over = value.median - host;
    if (over > limit.overHost) {
      return `${what}: ${over.toFixed(1)} ${metric.unit} more than host, may be ${limit.overHost}`;
    }
  }
  if (limit.peers !== undefined) {
    const peers = (limit.among ?? PEERS).map(median).filter((other) => other !== undefined);
    const best = Math.max(...peers);
    if (peers.length > 0 && value.median / best < limit.peers) {
      return `${what}: ${(value.median / best).toFixed(2)} times the best peer, must be ${limit.peers}`;
    }
  }
  if (limit.ratio !== undefined) {
    if (ratio === undefined) return `${what}: no ratio to its baseline`;
    if (ratio.median < limit.ratio) {
      return `${what}: ${ratio.median.toFixed(2)} of the baseline's speed, must be ${limit.ratio.toFixed(2)}`;
    }
  }
  return undefined;
}
