/** What a driver costs for each container: time to start, and memory. */
import { notTuned } from '../drivers/pasta-tuned.js';
import type { Place } from '../places/place.js';
import { PROBE } from '../runner/session.js';
import type { Metrics, OutsideTrial, OutsideWorkload } from './workload.js';

const STARTS = 5;
const COUNTS = [1, 10, 50] as const;
/** With bypass4netns, a container needs about 40 MiB besides itself. */
const NEEDED_MIB = 3_072;
const TIMEOUT_MS = 180_000;
const AT_ONCE = 5;

/** From `podman run` to its end, for a container that does nothing; the median of several. */
export const start: OutsideWorkload = {
  kind: 'outside',
  name: 'start',
  title: 'start of a container',
  program: `\`podman run --rm\` of a program that ends at once, median of ${STARTS}`,
  metrics: [{ name: 'ms', title: 'start and end', unit: 'ms', better: 'lower' }],
  baseline: 'host',
  seconds: 0,
  rounds: 2,
  suits: notTuned,
  measure: measureStart,
};

async function measureStart({ place, container, record }: OutsideTrial): Promise<Metrics> {
  const { argv } = await container(['--rm']);
  const nameless = argv.filter((word) => !word.startsWith('--name='));
  const command = [...nameless, PROBE, 'nothing'];
  record(command);
  // Timed where Podman runs, so that the way there does not count. The first one warms up.
  const script = `i=0
    while [ $i -le ${STARTS} ]; do
      begin=$(date +%s%N); "$@" || exit; end=$(date +%s%N)
      echo $(((end - begin) / 1000)); i=$((i + 1))
    done`;
  const output = await place.run(['sh', '-c', script, 'sh', ...command]);
  const times = output
    .trim()
    .split('\n')
    .slice(1)
    .map(Number)
    .sort((a, b) => a - b);
  const median = times[Math.floor(STARTS / 2)];
  if (median === undefined || times.length !== STARTS) throw new Error(`not a result: ${output}`);
  return { ms: median / 1_000 };
}

/**
 * Anonymous memory of everything that runs because of the containers, besides the containers' own processes: conmon, the
 * user-mode networks, helpers, and the whole of sockswitch. Readable without root, and not counted twice where processes share.
 */
export const memory: OutsideWorkload = {
  kind: 'outside',
  name: 'memory',
  title: 'memory',
  program: 'RssAnon of all helper processes and daemons in /proc',
  metrics: COUNTS.map((count) => ({
    name: `mib_${count}`,
    title: count === 1 ? '1 container' : `${count} containers`,
    unit: 'MiB',
    better: 'lower',
  })),
  baseline: 'host',
  seconds: 0,
  rounds: 2,
  suits: notTuned,
  needs: { memoryMiB: NEEDED_MIB },
  measure: measureMemory,
};

async function measureMemory({ place, driver, container, record }: OutsideTrial): Promise<Metrics> {
  const metrics: Record<string, number> = {};
  const names: string[] = [];
  const before = await helperMemory(place);
  try {
    for (const count of COUNTS) {
      while (names.length < count) {
        const batch = await Promise.all(
          Array.from({ length: Math.min(AT_ONCE, count - names.length) }, () =>
            container(['--detach', '--rm']),
          ),
        );
        names.push(...batch.map(({ name }) => name));
        const commands = batch.map(({ argv }) => [...argv, 'sleep', 'infinity']);
        if (commands[0] !== undefined && names.length === 1) record(commands[0]);
        await Promise.all(commands.map((command) => place.run(command, { timeoutMs: TIMEOUT_MS })));
      }
      const helpers = (await helperMemory(place)) - before;
      const product = driver.switches ? await place.productMemory() : 0;
      metrics[`mib_${count}`] = (helpers + product) / 2 ** 20;
    }
  } finally {
    const remove = [...place.podman, 'rm', '--force', '--ignore', '--time=0', ...names];
    if (names.length > 0) await place.run(remove, { always: true, timeoutMs: TIMEOUT_MS });
  }
  return metrics;
}

/** Bytes. By the beginning of the program's name (the kernel keeps 15 bytes of it). */
async function helperMemory(place: Place): Promise<number> {
  const script = `
    for status in /proc/[0-9]*/status; do
      awk '/^Name:/ { wanted = $2 ~ /^(conmon|pasta|slirp4netns|bypass4netns|rootlessport|aardvark-dns)/ }
        /^RssAnon:/ && wanted { print $2 }' "$status" 2>/dev/null
    done | awk '{ total += $1 } END { print total * 1024 }'`;
  return Number(await place.run(['sh', '-c', script]));
}
