/** What is left for an ordinary container beside others that flood the network with new connections. */
import { checkPath, PROBE, runSession, scriptArgs } from '../runner/session.js';
import { complete, connectionRate } from './connections.js';
import {
  type Metrics,
  type OutsideTrial,
  type OutsideWorkload,
  parseJsonLine,
} from './workload.js';

const FLOODS = 8;
const PARALLEL = 4;
/** For all containers to start, before the first one connects. */
const START_MS = 5_000;
/** How much longer than the measurement the floods last, before and after. */
const MARGIN_SECONDS = 1;

export const fairness: OutsideWorkload = {
  kind: 'outside',
  name: 'fairness',
  title: 'an ordinary container beside eight that flood',
  program: `probe, a connection after the other, beside ${FLOODS} containers with ${PARALLEL} at a time each`,
  metrics: [
    {
      name: 'share',
      title: `of its fair share, beside ${FLOODS} that flood`,
      unit: '%',
      better: 'higher',
      withoutRatio: true,
    },
  ],
  baseline: 'host',
  seconds: 3,
  rounds: 2,
  needs: { server: 'http', memoryMiB: 1_024 },
  suits: ({ name, switches }) => switches || ['host', 'bypass4netns', 'floor'].includes(name),
  measure,
};

async function measure(trial: OutsideTrial): Promise<Metrics> {
  const { seconds } = trial.settings;
  const begin = Date.now() + START_MS;
  const ordinary = run(trial, begin + MARGIN_SECONDS * 1_000, seconds, 1);
  const floods = Array.from({ length: FLOODS }, () =>
    run(trial, begin, seconds + 2 * MARGIN_SECONDS, PARALLEL),
  );
  // All of them, also after a failure: nothing may go on into the next trial.
  await Promise.allSettled([ordinary, ...floods]);
  const [one, ...others] = await Promise.all([ordinary, ...floods]);
  const fair = [one, ...others].reduce((sum, rate) => sum + rate, 0) / (1 + FLOODS);
  return { share: (100 * one) / fair };
}

/** How often a second a container connects, from a time on (milliseconds since 1970). Throws when requests failed, or went another way. */
async function run(
  { place, driver, container, record }: OutsideTrial,
  from: number,
  seconds: number,
  parallel: number,
): Promise<number> {
  const { argv } = await container(['--rm', '-i']);
  const rate = `${PROBE} rate ${place.server} ${place.httpPort} ${seconds} ${parallel}`;
  const script = `[ $(date +%s%3N) -lt ${from} ] || { echo 'started too late' >&2; exit 1; }
    while [ $(date +%s%3N) -lt ${from} ]; do sleep 0.05; done; ${rate}`;
  const command = [...argv, ...scriptArgs(script)];
  if (parallel === 1) record(command);
  const { output, switched } = await runSession(place, command);
  const metrics = complete(parseJsonLine(output));
  checkPath(driver, switched, connectionRate.switchedAtLeast(metrics));
  return metrics['per_second'] ?? 0;
}
