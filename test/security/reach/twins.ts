/**
 * Two containers that are equal except for `sockswitch/enable=true`, and what each of them reaches.
 *
 * Theory of operation. Both are started, changed and asked at the same time. The client is reach.c, run by sh after the network is
 * there. Where something has to be done outside between change and connect, it waits: its script makes /sync/ready and goes on when
 * there is /sync/go; /sync is a directory of the host. What differs is tried once more with more patience, and then all that
 * either container reached in one of the tries is compared: a busy machine makes no difference, a wrong decision does.
 */
import {
  daemonStatus,
  keeperPid,
  startDaemon,
  stopDaemon,
} from '../../integration/support/daemon.js';
import { describeResult, eventually, host1, type Result } from '../../integration/support/lab.js';
import { counters, ENABLED } from '../../integration/support/podman.js';
import { VOLUME } from '../support/stage.js';
import type { Combination, Rights } from './combinations.js';
import { destinations } from './destinations.js';
import type { NetworkKind } from './networks.js';
import { clearContainers } from './stage.js';

/** Neither is accelerated: what differs then, or is not as expected, is a fault of the tests. */
export const CONTROL = process.env['SOCKSWITCH_REACH_CONTROL'] === '1';
const PATIENCE_MS = [1_000, 6_000] as const;
const TWINS = ['plain', 'accelerated'] as const;
type Twin = (typeof TWINS)[number];

/** Outcomes of each destination in all tries, "round label" by round; empty where it was never reached. */
export type Reach = Readonly<Record<string, readonly string[]>>;

export interface Comparison {
  readonly plain: Reach;
  readonly accelerated: Reach;
  /** What the change said to standard error, in each. */
  readonly complaints: Readonly<Record<Twin, string>>;
  /** Connections switched; undefined where the container has ended. */
  readonly switched: number | undefined;
}

const CAPABILITIES: Readonly<Record<Rights, readonly string[]>> = {
  bare: ['--cap-drop=all', '--user=1000'],
  default: [],
  admin: ['--cap-add=NET_ADMIN', '--cap-add=NET_RAW', '--device=/dev/net/tun'],
  privileged: ['--privileged'],
};

/** What changes.ts says of these. */
const NAMES = `
dev=$(ip -o link show | sed -n 's/^[0-9]*: \\([^:@]*\\).*/\\1/p' | grep -v '^lo$' | head -n 1)
gw=$(ip -4 route show default | sed -n 's/.* via \\([^ ]*\\).*/\\1/p' | head -n 1)
own=$(ip -4 -o address show dev "$dev" 2>/dev/null | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p' | head -n 1)
[ -n "$dev" ] || dev=lo
[ -n "$gw" ] || gw=10.77.0.1`;

function waitForNetwork({ noIpv6 }: NetworkKind): string {
  const there = noIpv6 === true ? 'true' : 'ip -6 route show default | grep -q .';
  return `for try in $(seq 50); do ${there} && ! ip -6 address show tentative | grep -q . && break; sleep 0.1; done`;
}

const HOLD = 'touch /sync/ready; until [ -e /sync/go ]; do sleep 0.05; done';

/** Its words for `sh -c` and what follows. */
function clientCommand(combination: Combination, patienceMs: number): readonly string[] {
  const { network, change, moment, restart } = combination;
  const outside = change.onHost !== undefined || change.rootless !== undefined;
  const make =
    change.inside === undefined || restart === 'away'
      ? ':'
      : `(${NAMES}\n${change.inside}\n) 2>>/sync/complaints`;
  const hold = outside || restart !== 'none' ? HOLD : ':';
  const probe = `/attacks/reach probe ${patienceMs}`;
  const all = destinations(network.bridge);
  const begin = waitForNetwork(network);
  const run = (script: string) => ['sh', '-c', script, 'sh', ...all];
  if (moment === 'after') {
    const where = { unshared: '--unshare', 'in pod': '--enter /run/netns/pod' };
    const move = change.client === undefined ? '' : where[change.client];
    const between = `${make}\n${hold}`.replaceAll("'", `'\\''`);
    return run(`${begin}\nexec ${probe} --between '${between}' ${move} "$@"`);
  }
  if (change.client === 'unshared') {
    return ['unshare', '-Urn', ...run(`${make}\n${hold}\nexec ${probe} "$@"`)];
  }
  const into = change.client === 'in pod' ? 'nsenter --net=/run/netns/pod' : '';
  return run(`${begin}\n${make}\n${hold}\nexec ${into} ${probe} "$@"`);
}

const nameOf = (twin: Twin) => `reach-${twin}`;

/** `podman run` for one of the twins, up to the command. */
function runWords(
  { network, rights, runtime, annotations: more }: Combination,
  twin: Twin,
  how: readonly string[],
): string[] {
  const name = nameOf(twin);
  const annotations = Object.entries(
    twin === 'accelerated' && !CONTROL ? { ...ENABLED, ...more } : {},
  ).map(([key, value]) => `--annotation=${key}=${value}`);
  return [
    ...['podman', '--runtime', runtime, 'run', ...how, '--label=reach', '--name', name],
    ...network.options.map((word) => word.replace('NAME', name)),
    ...[...annotations, ...CAPABILITIES[rights], ...VOLUME, '-v', `./reach-sync/${twin}:/sync`],
    network.image ?? 'localhost/lab',
  ];
}

async function must(script: string, ...args: string[]): Promise<void> {
  const result = await host1.sh(`set -e\n${script}`, args);
  if (result.status !== 0) throw new Error(describeResult([script], result));
}

/** Starts a twin; gives its client's end. */
async function start(
  combination: Combination,
  twin: Twin,
  patienceMs: number,
): Promise<{ readonly end: Promise<Result> }> {
  const { network, client } = combination;
  const name = nameOf(twin);
  await must('mkdir -p reach-sync; mkdir -m 777 "reach-sync/$1"', twin);
  if (network.before !== undefined) await must(network.before, name);
  const command = clientCommand(combination, patienceMs);
  const words = runWords(combination, twin, client === 'first' ? ['--rm'] : ['-d']);
  if (client === 'first') return { end: host1.run([...words, ...command]) };
  await host1.output([...words, 'sleep', 'infinity']);
  if (network.afterStart !== undefined) await must(network.afterStart, name);
  return { end: host1.run(['podman', 'exec', name, ...command]) };
}

/** The daemon as after a restart; SIGTERM, as an administrator's or a package's. */
async function restartDaemon(): Promise<void> {
  await stopDaemon();
  await startDaemon();
}

async function replaceKeeper(): Promise<void> {
  const old = await keeperPid();
  await host1.output(['kill', '-KILL', String(old)]);
  await eventually('another keeper', async () => {
    const pid = await keeperPid();
    return pid !== 0 && pid !== old && (await daemonStatus()).keeper.connected ? true : undefined;
  });
}

async function outside({ network, change, restart }: Combination): Promise<void> {
  const names = TWINS.map(nameOf);
  if (change.onHost !== undefined) {
    const script = change.onHost;
    await Promise.all(names.map((name) => must(script, name, network.network ?? '')));
  }
  if (change.rootless !== undefined) await inRootless(change.rootless.make);
  if (restart === 'away') {
    await stopDaemon();
    for (const name of names) {
      // By a process outside: what a container's own process asks may have to wait for the daemon.
      const enter = `podman unshare nsenter --net=/proc/$(podman inspect --format '{{.State.Pid}}' "$1")/ns/net sh -c "$2"`;
      await host1.sh(enter, [name, `${NAMES}\n${change.inside ?? ''}`]);
    }
    await startDaemon();
  }
  if (restart === 'keeper') await replaceKeeper();
  if (restart === 'daemon' || restart === 'keeper') await restartDaemon();
}

async function inRootless(script: string): Promise<void> {
  await must('podman unshare --rootless-netns sh -c "$1"', script);
}

/** Addresses that Podman gave to one of the twins (networks.ts): each has its own. Companions have .1, .2 and .20. */
const GIVEN = [
  /(?<=<)10\.101\.\d+\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])$/,
  /(?<=<)10\.77\.0\.(?:19[2-9]|20[0-7])$/,
  /(?<=<)fd01:(?!.*::(?:1|20)$).*$/,
  /(?<=<)fe80:.*$/,
];
const normal = (outcome: string) =>
  GIVEN.reduce((text, given) => text.replace(given, 'self'), outcome);

function parse(twin: Twin, result: Result): ReadonlyMap<string, string> {
  const lines = result.stdout.trim().split('\n');
  const found = lines.map((line) => /^([12] \S+) (\S+)/.exec(line));
  if (result.status !== 0 || found.includes(null)) {
    throw new Error(`${twin}: ${describeResult(['client'], result)}`);
  }
  return new Map(found.map((match) => [match?.[1] ?? '', normal(match?.[2] ?? '')]));
}

type Outcomes = Readonly<Record<Twin, ReadonlyMap<string, string>>>;

async function once(
  combination: Combination,
  patienceMs: number,
): Promise<Pick<Comparison, 'complaints' | 'switched'> & { readonly outcomes: Outcomes }> {
  const { change, restart } = combination;
  try {
    const [plain, accelerated] = await Promise.all(
      TWINS.map((twin) => start(combination, twin, patienceMs)),
    );
    if (plain === undefined || accelerated === undefined) throw new Error('no twins');
    if (change.onHost !== undefined || change.rootless !== undefined || restart !== 'none') {
      const ends = Promise.race([plain.end, accelerated.end]).then((result) => {
        throw new Error(describeResult(['client'], result));
      });
      ends.catch(() => {});
      await Promise.race([
        eventually('both clients', async () =>
          (await host1.sh('[ -e reach-sync/plain/ready ] && [ -e reach-sync/accelerated/ready ]'))
            .status === 0
            ? true
            : undefined,
        ),
        ends,
      ]);
      await outside(combination);
      await must('touch reach-sync/plain/go reach-sync/accelerated/go');
    }
    const outcomes = {
      plain: parse('plain', await plain.end),
      accelerated: parse('accelerated', await accelerated.end),
    };
    const read = async (twin: Twin) =>
      (await host1.run(['cat', `reach-sync/${twin}/complaints`])).stdout;
    const complaints = { plain: await read('plain'), accelerated: await read('accelerated') };
    return { outcomes, complaints, switched: await switchedBy(combination) };
  } finally {
    if (change.rootless !== undefined) await inRootless(change.rootless.undo).catch(() => {});
    await remove();
  }
}

async function switchedBy({ client }: Combination): Promise<number | undefined> {
  if (client === 'first' || CONTROL) return undefined;
  const id = await host1.output([
    'podman',
    'inspect',
    '--format',
    '{{.Id}}',
    nameOf('accelerated'),
  ]);
  return (await counters(id.trim()))?.switched ?? 0;
}

async function remove(): Promise<void> {
  const script = `
set -e
podman rm --force --ignore --time 0 "$1" "$2" "owner-$1" "owner-$2"
podman pod rm --force --ignore --time 0 "reach-pod-$1" "reach-pod-$2"
podman unshare rm -rf reach-sync`;
  const names = TWINS.map(nameOf);
  // The end of a container that ends by itself may be under way.
  await eventually('the end of both', async () =>
    (await host1.sh(script, names)).status === 0 ? true : undefined,
  );
}

let stageOf: NetworkKind | undefined;

/** Makes a kind's networks and companions; they stay for the combinations that follow on the same one. */
async function prepare(network: NetworkKind): Promise<void> {
  if (stageOf === network) return;
  await clearContainers('reach-[0-9m]');
  stageOf = network;
  if (network.setUp !== undefined) await must(network.setUp);
}

const UNREACHED = '-';

export async function compareTwins(combination: Combination): Promise<Comparison> {
  await prepare(combination.network);
  const seen = {
    plain: new Map<string, Set<string>>(),
    accelerated: new Map<string, Set<string>>(),
  };
  for (const patience of PATIENCE_MS) {
    const { outcomes, ...rest } = await once(combination, patience);
    for (const twin of TWINS) {
      for (const [label, outcome] of outcomes[twin]) {
        const known = seen[twin].get(label) ?? new Set();
        if (outcome !== UNREACHED) known.add(outcome);
        seen[twin].set(label, known);
      }
    }
    const plain = plainly(seen.plain);
    const accelerated = plainly(seen.accelerated);
    const equal = JSON.stringify(plain) === JSON.stringify(accelerated);
    if (equal || patience === PATIENCE_MS.at(-1)) return { plain, accelerated, ...rest };
  }
  throw new Error('not reached');
}

function plainly(seen: ReadonlyMap<string, ReadonlySet<string>>): Reach {
  return Object.fromEntries(
    [...seen].sort().map(([label, outcomes]) => [label, [...outcomes].sort()]),
  );
}
