/** `sockswitch uninstall`. */
import { existsSync } from 'node:fs';
import { ControlClient, NoDaemonError } from '../api/client.js';
import { UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { uninstallAll } from '../install/put-in-place.js';
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
