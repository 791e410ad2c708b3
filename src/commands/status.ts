/** `sockswitch status`. */
import { ControlClient, NoDaemonError } from '../api/client.js';
import type { Status } from '../api/protocol.js';
import { runtimePaths } from '../base/paths.js';
import { duration, EXIT, print, printJson } from './output.js';

export async function status(options: { readonly json?: boolean }): Promise<void> {
  let current: Status;
  try {
    current = await new ControlClient(runtimePaths().controlSocket).status();
  } catch (error) {
    if (!(error instanceof NoDaemonError)) throw error;
    if (options.json === true) printJson({ running: false });
    process.stderr.write(`sockswitch: ${error.message}\n`);
    process.exitCode = EXIT.notRunning;
    return;
  }
  if (options.json === true) printJson({ running: true, ...current });
  else print(describe(current));
}

/** A line each: what, and its value. */
export function describe(current: Status): string {
  const { kernel, keeper, config } = current;
  const lines: readonly (readonly [string, string])[] = [
    ['daemon', `running, pid ${current.pid}, up ${duration(current.uptimeSeconds)}`],
    ...(current.unaccelerated === undefined
      ? []
      : [['acceleration', `none: ${current.unaccelerated}`] as const]),
    ['version', current.version],
    ['kernel', kernel.release],
    ['  synchronous wake-up', kernel.syncWakeUp ? 'in use' : 'not there (Linux 6.6 has it)'],
    ['  uninterrupted switching', waitKillable(current)],
    ['  thread pidfds', kernel.pidfdThread ? 'in use' : 'not there (Linux 6.9 has it)'],
    ['  kcmp', kernel.kcmp ? 'in use' : 'not permitted (docs/nesting.md)'],
    ['  socket guard', kernel.socketGuard ? 'in use' : 'not there ("sockswitch doctor" tells why)'],
    [
      "  clients' names",
      current.hostNames === undefined ? 'shown' : `not shown: ${current.hostNames}`,
    ],
    [
      '  following the network',
      current.staysPinned === undefined ? 'in use' : `not there: ${current.staysPinned}`,
    ],
    ['keeper', keeper.connected ? 'connected' : `not connected (${keeper.socket})`],
    ['configuration', config.present ? config.path : `${config.path} (none, defaults)`],
    ['podman networks', current.podmanNetworks.join(' ')],
    ['containers', `${current.containers} (${current.listeners} listeners)`],
  ];
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  return lines.map(([name, value]) => name.padEnd(width) + value).join('\n');
}

function waitKillable(current: Status): string {
  if (!current.kernel.waitKillable) return 'not there (Linux 5.19 has it)';
  return current.waitKillable
    ? 'in use'
    : 'not asked for (runc is installed, or the configuration says never)';
}
