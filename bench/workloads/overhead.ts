/** What acceleration costs that which it does not accelerate. Ratios are to the same container without it. */
import { PROBE } from '../runner/session.js';
import { parseJsonLine, type ScriptWorkload } from './workload.js';

const COMMON = {
  kind: 'script',
  baseline: 'unaccelerated',
  parse: parseJsonLine,
  switchedAtLeast: () => 0,
} as const;

function localRate(name: string, title: string, family: 'tcp' | 'unix' | 'nested'): ScriptWorkload {
  return {
    ...COMMON,
    name,
    title,
    program: 'probe',
    metrics: [{ name: 'per_second', title, unit: '1/s', better: 'higher' }],
    seconds: 1,
    script: (_place, { seconds }) =>
      `${PROBE} local ${family} 0.3 >/dev/null && ${PROBE} local ${family} ${seconds}`,
  };
}

/** Connections that are trapped, judged and left to the container. */
export const loopbackRate = localRate('loopback-rate', 'to own loopback', 'tcp');
/** As a pod's in a node container, which pays for its node's acceleration. */
export const nestedRate: ScriptWorkload = {
  ...localRate('nested-rate', 'to own loopback, nested netns', 'nested'),
  podmanArgs: ['--cap-add=SYS_ADMIN,NET_ADMIN'],
};
export const unixRate = localRate('unix-rate', 'over AF_UNIX', 'unix');

const CALLS = {
  fcntl: 'fcntl',
  setsockopt: 'setsockopt',
  dup_close: 'dup+close',
  open_close: 'open+close',
  fork_exec: 'fork+exec',
} as const;

/** Calls that should not be trapped at all. */
export const calls: ScriptWorkload = {
  ...COMMON,
  name: 'calls',
  title: 'other calls',
  program: 'probe, best of five passes',
  metrics: Object.entries(CALLS).map(([name, title]) => ({
    name: `${name}_ns`,
    title,
    unit: 'ns',
    better: 'lower',
  })),
  seconds: 0,
  script: () => `${PROBE} calls`,
};
