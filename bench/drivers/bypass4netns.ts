/**
 * bypass4netns (https://github.com/rootless-containers/bypass4netns) over slirp4netns, set up as its documentation says: a daemon
 * on a listener socket, and a seccomp profile that names the socket and the calls. One daemon for each container, as nerdctl
 * does it.
 */
import { execa } from 'execa';
import type { Place } from '../places/place.js';
import { CHILD, CommandError, execute, lastLines } from '../runner/execute.js';
import { TUNNEL } from '../workloads/vxlan.js';
import type { Driver, Prepared } from './driver.js';

const TRAPPED = [
  'bind',
  'close',
  'connect',
  'setsockopt',
  'fcntl',
  '_exit',
  'exit_group',
  'getpeername',
];
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};
/** "auto" is what the container has when it starts; a tunnel comes later. */
const IGNORE = `127.0.0.0/8,auto,${TUNNEL}`;
const START_MS = 5_000;
let serial = 0;

export const bypass4netns: Driver = {
  name: 'bypass4netns',
  title: 'bypass4netns over slirp4netns',
  podmanArgs: ['--network=slirp4netns'],
  ownNetwork: true,
  unaccelerated: 'slirp4netns',
  switches: false,
  program: 'bypass4netns',
  publishArgs: () => [], // its own option does that
  prepare,
};

async function prepare(place: Place, published: readonly number[]): Promise<Prepared> {
  serial += 1;
  const socket = `${place.scratch}/bypass4netns-${serial}.sock`;
  const profile = `${place.scratch}/bypass4netns-${serial}.json`;
  await place.run(['sh', '-c', 'rm -f "$2" && cat >"$1"', 'sh', profile, socket], {
    input: JSON.stringify(seccompProfile(socket)),
  });
  const argv = ['bypass4netns', `--socket=${socket}`, `--ignore=${IGNORE}`];
  argv.push(...published.map((port) => `--publish=${port}:${port}`));
  // It leaves agents behind when it ends, so its whole process group is ended, once our end of the pipe closes.
  const [file = '', ...args] = place.asUser([
    'sh',
    '-c',
    'trap "" TERM; ("$@") & read -r _; kill -TERM 0',
    'sh',
    ...argv,
  ]);
  const daemon = execa(file, args, { ...CHILD, stdin: 'pipe', all: true });
  const undo = async () => {
    daemon.stdin.end();
    const timer = setTimeout(() => daemon.kill('SIGKILL'), START_MS);
    await daemon;
    clearTimeout(timer);
  };
  try {
    await waitForSocket(place, socket);
  } catch {
    await undo();
    throw new CommandError(`bypass4netns did not start: ${lastLines((await daemon).all ?? '')}`);
  }
  return {
    podmanArgs: ['--security-opt', `seccomp=${profile}`],
    note: `${argv.join(' ')}; seccomp profile: SCMP_ACT_NOTIFY for ${TRAPPED.join(' ')}, allow all else`,
    undo,
  };
}

/** What it has to be told of, and allows all else; for security tests, too. */
export function seccompProfile(listenerPath: string): object {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: ARCHITECTURES[process.arch] ?? [],
    listenerPath,
    syscalls: [{ names: TRAPPED, action: 'SCMP_ACT_NOTIFY' }],
  };
}

/** Not only that it is there, but that somebody listens: the fourth column has the flag __SO_ACCEPTCON then. */
async function waitForSocket(place: Place, socket: string): Promise<void> {
  const wait =
    'i=0; until grep -q " 00010000 .* $1$" /proc/net/unix; do i=$((i + 1)); [ $i -lt 100 ] || exit 1; sleep 0.05; done';
  await execute(place.asUser(['sh', '-c', wait, 'sh', socket]), { timeoutMs: 2 * START_MS });
}
