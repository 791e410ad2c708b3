/**
 * The lab (test/lab/README.md): containers run on host1 (and host2, where a workload needs two hosts), servers on remote.
 *
 * A new network namespace takes the congestion control of the machine's first one, which need not be that of the lab's hosts.
 * With bbr, for one, pasta's upload falls to a few Mbit/s. So that all drivers have what distributions have, containers
 * get cubic, like the hosts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { CHILD, CommandError, type ExecuteOptions, execute, lastLines } from '../runner/execute.js';
import { checkInterrupted, interrupted } from '../runner/interrupt.js';
import {
  type AcceleratedContainers,
  memoryOfProduct,
  type Place,
  type RunningServer,
  type ServerProgram,
  switchedOf,
} from './place.js';

const LAB = fileURLToPath(new URL('../../../test/lab/lab', import.meta.url));
/** The first `up` on a machine builds root file systems. */
const UP_TIMEOUT_MS = 20 * 60_000;
const SCRATCH = '/run/user/1000/sockswitch-bench';
/** Root's Podman of the bench: in memory, as is all that a lab's root writes. */
const ROOTFUL = '/run/sockswitch-bench-podman';
const SERVER_START_MS = 60_000;
const SERVER_STOP_MS = 10_000;
const POLL_MS = 200;

/**
 * Remote forgets a connection as soon as it is over. All drivers come from one address, and those of one leave TIME_WAIT behind on the
 * ports that the next one uses; where the next one's time stamps are older (NAT, another kernel's clock offset), its SYN is dropped.
 */
const MAX_TIME_WAIT = 'net.ipv4.tcp_max_tw_buckets';

const HOSTS = { host1: '10.77.0.11', host2: '10.77.0.12' } as const;
type Host = keyof typeof HOSTS;

export interface LabOptions {
  /** Do not take the lab down at the end, even if it was not up before. */
  readonly keep: boolean;
  /** Whether workloads need the programs that only a lab with LAB_APPLICATIONS=1 has. */
  readonly applications: boolean;
  readonly onLine: (line: string) => void;
}

/** Brings the lab up if it is not; the daemons in it run what is built now. */
export async function openLab(options: LabOptions): Promise<Place> {
  if (process.getuid?.() !== 0) {
    throw new CommandError(
      'the lab needs root (it makes namespaces, mounts and cgroups): use sudo. As an ordinary user, "sockswitch bench" measures your own Podman',
    );
  }
  const { onLine } = options;
  const env = options.applications ? { LAB_APPLICATIONS: '1' } : {};
  const wasUp = await isUp();
  let timeWait = '';
  const close = async () => {
    if (!wasUp && !options.keep) {
      await execute([LAB, 'down'], { always: true, onLine });
      return;
    }
    if (timeWait !== '') await setTimeWait(timeWait, { always: true });
    for (const host of ['host1', 'host2']) {
      const remove = [LAB, 'exec', '--root', host, '--', 'rm', '-rf', SCRATCH];
      await execute(remove, { always: true });
    }
  };
  try {
    await execute([LAB, 'up'], { timeoutMs: UP_TIMEOUT_MS, onLine, env });
    for (const host of ['host1', 'host2']) {
      if (wasUp) await execute([LAB, 'daemon', 'restart', host], { onLine });
      await execute([LAB, 'exec', host, '--', 'mkdir', '-p', SCRATCH]);
    }
    timeWait = (await execute(onRemote(['sysctl', '-n', MAX_TIME_WAIT]))).trim();
    await setTimeWait('0');
  } catch (error) {
    await close();
    throw error;
  }
  return {
    ...rootlessHost('host1'),
    rootful: { ...rootfulHost('host1'), peer: rootfulHost('host2'), onRemote, startServer },
    peer: rootlessHost('host2'),
    onRemote,
    startServer,
    close,
  };
}

function rootlessHost(host: Host): Place {
  const asUser = (argv: readonly string[]) => [LAB, 'exec', host, '--', ...argv];
  const run = (argv: readonly string[], options?: ExecuteOptions) => execute(asUser(argv), options);
  return {
    kind: 'lab',
    address: HOSTS[host],
    server: '10.77.0.100',
    httpPort: 80,
    image: 'localhost/lab',
    podman: ['podman'],
    probeArgs: ['--volume=/opt/sockswitch/build/bench/probe:/probe:ro'],
    ownNetworkArgs: ['--sysctl=net.ipv4.tcp_congestion_control=cubic'],
    scratch: SCRATCH,
    asUser,
    asRoot: (argv) => [LAB, 'exec', '--root', host, '--', ...argv],
    run,
    switched: async (id) => {
      const list: AcceleratedContainers = JSON.parse(await run(['sockswitch', 'ps', '--json']));
      return switchedOf(list, id);
    },
    productMemory: async () => memoryOfProduct(await run(['sockswitch', 'status', '--json']), run),
    close: async () => undefined,
  };
}

function rootfulHost(host: Host): Place {
  const asRoot = (argv: readonly string[]) => [LAB, 'exec', '--root', host, '--', ...argv];
  return {
    ...rootlessHost(host),
    podman: [
      'podman',
      `--root=${ROOTFUL}/root`,
      `--runroot=${ROOTFUL}/run`,
      '--storage-driver=overlay',
      '--storage-opt=overlay.imagestore=/var/lib/lab-images',
    ],
    asUser: asRoot,
    run: (argv, options) => execute(asRoot(argv), options),
    switched: async () => undefined,
  };
}

async function setTimeWait(buckets: string, options?: ExecuteOptions): Promise<void> {
  await execute(onRemote(['sysctl', '-qw', `${MAX_TIME_WAIT}=${buckets}`]), options);
}

function onRemote(argv: readonly string[]): string[] {
  return [LAB, 'exec', '--root', 'remote', '--', ...argv];
}

/** Runs it on remote until `stop`. */
async function startServer({ name, port, script, ready }: ServerProgram): Promise<RunningServer> {
  checkInterrupted();
  if ((await execute(onRemote(['ss', '-Hltn', `sport = :${port}`]))) !== '') {
    throw new CommandError(
      `${name} cannot start: port ${port} of the remote machine is in use; "lab down" ends what is left of an earlier run`,
    );
  }
  // A server that changes its user loses the signal that "lab exec" passes on when it is ended; the shell around it does not.
  const supervised = `trap 'kill $server; wait $server; exit' TERM
(
${script}
) & server=$!
wait $server`;
  const [file = '', ...args] = onRemote(['sh', '-c', supervised]);
  const server = execa(file, args, { ...CHILD, stdin: 'ignore', all: true });
  let ended = false;
  server.then(() => {
    ended = true;
  });
  const stop = async () => {
    server.kill('SIGTERM');
    const timeout = new AbortController();
    const { signal } = timeout;
    await Promise.race([
      server,
      sleep(SERVER_STOP_MS, undefined, { signal }).catch(() => undefined),
    ]);
    timeout.abort();
    if (!ended) throw new CommandError(`${name} on the remote machine does not end`);
  };
  try {
    for (const deadline = Date.now() + SERVER_START_MS; Date.now() < deadline; ) {
      checkInterrupted();
      if (ended) throw new CommandError('it ended');
      try {
        await execute(onRemote(['sh', '-c', ready]));
        return { stop };
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
      }
      await sleep(POLL_MS);
    }
    throw new CommandError(`it did not answer within ${SERVER_START_MS / 1000} s`);
  } catch (error) {
    await stop();
    if (interrupted.aborted || !(error instanceof CommandError)) throw error;
    throw new CommandError(
      `${name} did not start: ${error.message}: ${lastLines((await server).all ?? '')}`,
    );
  }
}

async function isUp(): Promise<boolean> {
  try {
    await execute([LAB, 'status']);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}
