/** `sockswitch uninstall`. */
import { existsSync } from 'node:fs';
import { loadAddon } from '../addon/addon.js';
import { ControlClient, NoDaemonError } from '../api/client.js';
import { messageOf, UserError } from '../base/errors.js';
import { programs, runtimePaths } from '../base/paths.js';
import { uninstallAll } from '../install/put-in-place.js';
import { runningProcesses } from '../podman/running.js';
import { namespaceAt } from '../system/namespace.js';
import { systemctl, systemdRuns } from '../system/systemd.js';
import { plannedFiles } from './install.js';
import { print } from './output.js';
import { stopDaemon } from './stop.js';

export async function uninstall(options: { readonly dryRun?: boolean }): Promise<void> {
  const dryRun = options.dryRun === true;
  const { files, paths } = await plannedFiles();
  const planned = uninstallAll(files, paths.installRecord, true); // refuses before anything is done
  await endDaemon(dryRun);
  if ((await systemdRuns()) && existsSync(paths.systemdUnit)) {
    if (!dryRun) await systemctl('disable', '--now', 'sockswitch.service');
    print('disabled  sockswitch.service (systemd user unit)');
  }
  if (!dryRun) await clearNamespaces();
  const steps = dryRun ? planned : uninstallAll(files, paths.installRecord, false);
  for (const { path, action } of steps) print(`${action.padEnd(9)} ${path}`);
  if (!dryRun && (await systemdRuns())) await systemctl('daemon-reload');
  if (existsSync(paths.config)) print(`kept      ${paths.config} (your configuration)`);
}

/**
 * Ends the daemon and the keeper, as no container needs them. Containers that are still served would wait at
 * their next connect for a daemon that never comes, so they must be stopped first.
 */
async function endDaemon(dryRun: boolean): Promise<void> {
  const client = new ControlClient(runtimePaths().controlSocket);
  try {
    const { containers } = await client.status();
    if (containers > 0) {
      throw new UserError(
        `${containers} accelerated ${containers === 1 ? 'container is' : 'containers are'} running and would lose the network: stop them first ("sockswitch ps" lists them)`,
      );
    }
    if (!dryRun) await stopDaemon(client, true);
    print('stopped   the daemon');
  } catch (error) {
    if (!(error instanceof NoDaemonError)) throw error;
  }
}

/**
 * Removes the rules of tunnels that a daemon which was killed has left in network namespaces that live on, as a pod's does when
 * its accelerated container has ended.
 */
async function clearNamespaces(): Promise<void> {
  for (const pid of await runningProcesses()) {
    try {
      const there = namespaceAt(`/proc/${pid}/ns/net`);
      if (there !== namespaceAt('/proc/self/ns/net'))
        loadAddon().removeTunnelRules(pid, programs().netns);
    } catch (error) {
      if (!existsSync(`/proc/${pid}`)) continue; // it has ended
      print(`unseen    the network namespace of process ${pid}: ${messageOf(error)}`);
    }
  }
}
