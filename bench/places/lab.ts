/**
 * The lab (test/lab/README.md): containers run on host1, servers on remote.
 *
 * A new network namespace takes the congestion control of the machine's first one, which need not be that of the lab's hosts.
 * With bbr, for one, pasta's upload falls to a few Mbit/s. So that all drivers have what distributions have, containers
 * get cubic, like the hosts.
 */
import { fileURLToPath } from 'node:url';
import { CommandError, type ExecuteOptions, execute } from '../runner/execute.js';
import { type AcceleratedContainers, type Place, switchedOf } from './place.js';

const LAB = fileURLToPath(new URL('../../../test/lab/lab', import.meta.url));
/** The first `up` on a machine builds root file systems. */
const UP_TIMEOUT_MS = 20 * 60_000;
const SCRATCH = '/run/user/1000/sockswitch-bench';

export interface LabOptions {
  /** Do not take the lab down at the end, even if it was not up before. */
  readonly keep: boolean;
  readonly onLine: (line: string) => void;
}

/** Brings the lab up if it is not; the daemon in it runs what is built now. */
export async function openLab(options: LabOptions): Promise<Place> {
  if (process.getuid?.() !== 0) {
    throw new CommandError('the lab needs root (it makes namespaces, mounts and cgroups)');
  }
  const wasUp = await isUp();
  const close = async () => {
    if (wasUp || options.keep) await onHost(['rm', '-rf', SCRATCH], { always: true });
    else await execute([LAB, 'down'], { always: true, onLine: options.onLine });
  };
  try {
    await execute([LAB, 'up'], { timeoutMs: UP_TIMEOUT_MS, onLine: options.onLine });
    if (wasUp) await execute([LAB, 'daemon', 'restart', 'host1'], { onLine: options.onLine });
    await onHost(['mkdir', '-p', SCRATCH]);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    kind: 'lab',
    server: '10.77.0.100',
    httpPort: 80,
    image: 'localhost/lab',
    podman: ['podman'],
    probeArgs: ['--volume=/opt/sockswitch/build/bench/probe:/probe:ro'],
    ownNetworkArgs: ['--sysctl=net.ipv4.tcp_congestion_control=cubic'],
    scratch: SCRATCH,
    asUser: (argv) => [LAB, 'exec', 'host1', '--', ...argv],
    asRoot: (argv) => [LAB, 'exec', '--root', 'host1', '--', ...argv],
    run: onHost,
    switched: async (id) => {
      const list: AcceleratedContainers = JSON.parse(await onHost(['sockswitch', 'ps', '--json']));
      return switchedOf(list, id);
    },
    close,
  };
}

function onHost(argv: readonly string[], options?: ExecuteOptions): Promise<string> {
  return execute([LAB, 'exec', 'host1', '--', ...argv], options);
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
