/** `sockswitch stop`, and the end of a daemon that `uninstall` shares. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient, NoDaemonError } from '../api/client.js';
import type { ContainerRow } from '../api/protocol.js';
import { UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { containerNames } from '../podman/container-names.js';
import { serviceIsActive, systemctl } from '../system/systemd.js';
import { isServed } from '../system/unix-socket.js';
import { shortId, shownNames } from './container.js';
import { print } from './output.js';

const PATIENCE_MS = 15_000;
const POLL_MS = 50;

export async function stop(options: { readonly force?: boolean }): Promise<void> {
  const client = new ControlClient(runtimePaths().controlSocket);
  let dependents: readonly string[];
  try {
    dependents = await dependentsOf((await client.containers()).containers);
  } catch (error) {
    if (!(error instanceof NoDaemonError)) throw error;
    print('No daemon is running.');
    return;
  }
  if (dependents.length > 0 && options.force !== true) {
    throw new UserError(
      [
        `${count(dependents.length)} on the daemon, and would wait at the next connection until it is back:`,
        ...dependents.map((name) => `  ${name}`),
        'stop them first (podman stop), or use --force, which leaves them running',
      ].join('\n'),
    );
  }
  await stopDaemon(client, dependents.length === 0);
  print('The daemon has stopped.');
  if (dependents.length === 0) return;
  print(
    [
      `${count(dependents.length)} on it:`,
      ...dependents.map((name) => `  ${name}`),
      'They keep running, and so do their open connections and published ports. New connections, bind',
      'and listen wait until a daemon runs again; none fails. Start one with "sockswitch daemon" or',
      '"systemctl --user start sockswitch", or stop the containers with "podman stop".',
    ].join('\n'),
  );
}

/**
 * Ends the daemon, however it was started; resolves when it is gone. With `keeperToo` the keeper ends as well,
 * as soon as it holds nothing. Rejects with NoDaemonError, UserError.
 */
export async function stopDaemon(client: ControlClient, keeperToo: boolean): Promise<void> {
  if (keeperToo) await client.stopKeeper();
  // systemd would start it again if it ended by itself.
  if (await serviceIsActive()) await systemctl('stop', 'sockswitch.service');
  else await client.stop();
  const { controlSocket } = runtimePaths();
  const deadline = performance.now() + PATIENCE_MS;
  while (await isServed(controlSocket)) {
    if (performance.now() > deadline) {
      throw new UserError(
        `the daemon is still there after ${PATIENCE_MS / 1000} s: see its log, then end the process that "sockswitch status" names`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** By name where there is one. */
async function dependentsOf(containers: readonly ContainerRow[]): Promise<string[]> {
  if (containers.length === 0) return [];
  const names = shownNames(containers, await containerNames());
  return containers.map(({ id }) => {
    const name = names.get(id);
    return name === undefined ? shortId(id) : `${shortId(id)} ${name}`;
  });
}

function count(number: number): string {
  return number === 1 ? '1 container depends' : `${number} containers depend`;
}
