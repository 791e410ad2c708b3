/** `sockswitch install` and the plan that `uninstall` shares. */
import { accessSync, constants } from 'node:fs';
import { execa } from 'execa';
import { loadAddon } from '../addon/addon.js';
import { UserError } from '../base/errors.js';
import { type ConfigPaths, configPaths, programs, runtimePaths } from '../base/paths.js';
import { escapeControl, quote } from '../base/text.js';
import { checkNames, checkRepin, checkSurroundings } from '../doctor/check-kernel.js';
import { type InstallFile, installFiles } from '../install/installed-files.js';
import { installAll } from '../install/put-in-place.js';
import { type Config, loadConfig } from '../policy/config.js';
import { guardProblem, LISTENER_IN_USE } from '../system/kernel-requirements.js';
import { type Surroundings, surroundings } from '../system/surroundings.js';
import { systemctl, systemdRuns } from '../system/systemd.js';
import { print } from './output.js';

const PODMAN_TIMEOUT_MS = 10_000;

export async function install(options: { readonly dryRun?: boolean }): Promise<void> {
  const dryRun = options.dryRun === true;
  requireProgram(programs().precreate);
  const { files, paths } = await plannedFiles();
  const missing = missingCapability(loadConfig(paths.config));
  const steps = installAll(files, paths.installRecord, dryRun);
  for (const { path, action } of steps) print(`${action.padEnd(9)} ${path}`);
  if (await systemdRuns()) {
    const units = [
      ...[paths.systemdUnit, paths.keeperUnit, paths.guardSocketUnit, paths.guardUnit],
      ...[paths.namesSocketUnit, paths.namesUnit, paths.repinSocketUnit, paths.repinUnit],
    ];
    const unitChanged = steps.some((s) => units.includes(s.path) && s.action !== 'unchanged');
    if (!dryRun) {
      await systemctl('daemon-reload');
      await systemctl('enable', '--now', 'sockswitch.service');
      if (unitChanged) await systemctl('try-restart', 'sockswitch.service');
    }
    print('enabled   sockswitch.service (systemd user unit), and started');
  } else {
    print('No systemd user instance runs here. Start the daemon with: sockswitch daemon');
  }
  for (const line of optional()) print(`optional  ${line}`);
  for (const paragraph of inTheWay(surroundings())) print(`\n${paragraph}`);
  if (missing !== undefined) print(`\n${missing}`);
}

/** What containers cannot have here, as where sockswitch itself runs in one, in the words of `sockswitch doctor`. */
export function inTheWay(here: Surroundings): string[] {
  return checkSurroundings(here)
    .filter(({ remedy }) => remedy !== undefined)
    .map(({ message, remedy = '' }) => `In the way: ${escapeControl(message)}.\n-> ${remedy}`);
}

/** What published ports go without, as long as an administrator gives programs of ours no capabilities. */
function optional(): string[] {
  const [addon, runtime] = [loadAddon(), runtimePaths()];
  const { names: namesProgram, repin: repinProgram } = programs();
  return [
    checkNames(addon, { namesProgram, namesSocket: runtime.namesSocket }),
    checkRepin(addon, { repinProgram, repinSocket: runtime.repinSocket }),
  ]
    .filter(({ severity }) => severity === 'note')
    .map(({ message }) => message);
}

/** What is not in this user's hands and keeps containers from being accelerated; undefined where nothing is missing. */
function missingCapability({ requireGuard }: Config): string | undefined {
  if (loadAddon().kernelFeatures().listenerInUse) {
    return `Nothing is accelerated yet: ${LISTENER_IN_USE.message}.\n-> ${LISTENER_IN_USE.remedy}`;
  }
  if (!requireGuard) return undefined;
  const guardProgram = programs().guard;
  const paths = { guardProgram, guardSocket: runtimePaths().guardSocket };
  const obstacle = loadAddon().guardObstacle(paths);
  if (obstacle === '') return undefined;
  const { message, remedy } = guardProblem(guardProgram, obstacle);
  return `Nothing is accelerated yet: ${message}.\n-> ${remedy}`;
}

/** The files of this installation for this user. */
export async function plannedFiles(): Promise<{ files: InstallFile[]; paths: ConfigPaths }> {
  const paths = configPaths();
  const { XDG_CONFIG_HOME: configHome } = process.env;
  const files = installFiles({
    paths,
    runtime: runtimePaths(),
    programs: programs(),
    node: process.execPath,
    podmanVersion: await podmanVersion(),
    configHome,
  });
  return { files, paths };
}

/** "5.4.2"; undefined where Podman is missing. */
async function podmanVersion(): Promise<string | undefined> {
  const result = await execa('podman', ['--version'], {
    reject: false,
    stdin: 'ignore',
    timeout: PODMAN_TIMEOUT_MS,
  });
  if (result.exitCode !== 0) return undefined;
  return /([0-9]+\.[0-9]+\.[0-9]+)/.exec(result.stdout)?.[1];
}

function requireProgram(path: string): void {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new UserError(
      `${quote(path)} is missing, so the hook could not run: run "npm run build", or reinstall sockswitch`,
    );
  }
}
