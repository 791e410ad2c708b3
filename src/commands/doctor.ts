/** `sockswitch doctor`. */
import { loadAddon } from '../addon/addon.js';
import { messageOf } from '../base/errors.js';
import { programs, runtimePaths } from '../base/paths.js';
import { escapeControl } from '../base/text.js';
import { checkDaemon, checkTunnelPorts } from '../doctor/check-daemon.js';
import {
  checkFiles,
  checkPrecedence,
  checkRuntimeDirectory,
  dryRun,
} from '../doctor/check-installation.js';
import {
  checkGuard,
  checkKernel,
  checkLimits,
  checkNames,
  checkRepin,
  checkSelinux,
  checkSurroundings,
  checkTunnels,
  selinuxMode,
} from '../doctor/check-kernel.js';
import { checkPodman } from '../doctor/check-podman.js';
import { type Finding, ok, problem, type Severity } from '../doctor/finding.js';
import { loadConfig, parseConfig } from '../policy/config.js';
import { surroundings } from '../system/surroundings.js';
import { plannedFiles } from './install.js';
import { EXIT, print, printJson } from './output.js';

const MARK: Readonly<Record<Severity, string>> = {
  ok: 'ok     ',
  note: 'note   ',
  warning: 'WARNING',
  problem: 'PROBLEM',
};

export async function doctor(options: { readonly json?: boolean }): Promise<void> {
  const findings = await examine();
  const count = (wanted: Severity) => findings.filter(({ severity }) => severity === wanted).length;
  const problems = count('problem');
  if (options.json === true) printJson({ problems, warnings: count('warning'), findings });
  else {
    for (const finding of findings) show(finding);
    print(`\n${problems} problems, ${count('warning')} warnings`);
  }
  if (problems > 0) process.exitCode = EXIT.problems;
}

/** All checks; one that cannot be made is a problem, and the others go on. */
async function examine(): Promise<Finding[]> {
  const findings: Finding[] = [];
  const check = async (
    id: string,
    act: () => Finding | readonly Finding[] | Promise<Finding | readonly Finding[]>,
  ): Promise<void> => {
    try {
      findings.push(...[await act()].flat());
    } catch (error) {
      findings.push(problem(id, messageOf(error), 'correct what the message names'));
    }
  };
  await check('kernel', () => checkKernel(loadAddon().kernelFeatures()));
  await check('selinux', () => checkSelinux(loadAddon(), selinuxMode()));
  await check('surroundings', () => checkSurroundings(surroundings()));
  await check('tunnels', () => checkTunnels(loadAddon().tunSupport()));
  await check('limits', () => checkLimits());
  const { files, paths } = await plannedFiles();
  let { waitKillable, requireGuard } = parseConfig('', paths.config);
  await check('config', () => {
    ({ waitKillable, requireGuard } = loadConfig(paths.config));
    return ok('config', `${paths.config} is understood, or not there`);
  });
  await check('podman', () => checkPodman(waitKillable, surroundings()));
  await check('install', () => checkFiles(files));
  await check('podman.precedence', () => checkPrecedence(paths));
  const runtime = runtimePaths();
  await check('guard', () =>
    checkGuard(
      loadAddon(),
      { guardProgram: programs().guard, guardSocket: runtime.guardSocket },
      requireGuard,
    ),
  );
  await check('names', () =>
    checkNames(loadAddon(), {
      namesProgram: programs().names,
      namesSocket: runtime.namesSocket,
    }),
  );
  await check('repin', () =>
    checkRepin(loadAddon(), {
      repinProgram: programs().repin,
      repinSocket: runtime.repinSocket,
    }),
  );
  await check('runtime-directory', () => checkRuntimeDirectory(runtime));
  await check('daemon', () => checkDaemon(runtime));
  await check('tunnels.ports', () => checkTunnelPorts(loadAddon(), runtime));
  await check('hook.dry-run', () => dryRun(paths, runtime));
  return findings;
}

function show({ severity, message, remedy }: Finding): void {
  print(escapeControl(`${MARK[severity]} ${message}`));
  if (remedy !== undefined) print(escapeControl(`        -> ${remedy}`));
}
