/**
 * What `sockswitch install` puts where: the texts, without touching the file system.
 *
 * One hook file with one pattern for both annotation families. In an OCI hooks file *all* patterns of
 * `when.annotations` must match (oci-hooks(5)), so two patterns would ask for both families at once, and
 * two files would run the hook twice for a container that has both.
 */
import type { ConfigPaths, Programs, RuntimePaths } from '../base/paths.js';
import {
  capableSocketUnit,
  capableUnit,
  daemonUnit,
  GUARD,
  keeperUnit,
  NAMES,
  REPIN,
} from './systemd-units.js';

export interface InstallFile {
  readonly path: string;
  readonly content: string;
}

export interface InstallPlan {
  readonly paths: ConfigPaths;
  readonly runtime: Pick<RuntimePaths, 'hookSocket'>;
  readonly programs: Pick<Programs, 'precreate' | 'keeper' | 'guard' | 'names' | 'repin' | 'cli'>;
  /** The Node.js executable. */
  readonly node: string;
  /** "5.4.2", undefined where Podman cannot be asked. */
  readonly podmanVersion: string | undefined;
  /** XDG_CONFIG_HOME where it is set: the daemon must see the same files. */
  readonly configHome: string | undefined;
}

/** Podman's own default, for versions whose drop-ins replace the list. */
const DEFAULT_HOOKS_DIRECTORY = '/usr/share/containers/oci/hooks.d';

const HEADER = [
  '# Written by "sockswitch install" and removed by "sockswitch uninstall".',
  '# Neither touches this file any more once it has been edited.',
  '',
];

export function installFiles(plan: InstallPlan): InstallFile[] {
  return [
    { path: plan.paths.hookFile, content: hookJson(plan) },
    { path: plan.paths.containersDropIn, content: containersDropIn(plan) },
    { path: plan.paths.systemdUnit, content: unit(daemonUnit(plan)) },
    { path: plan.paths.keeperUnit, content: unit(keeperUnit(plan)) },
    { path: plan.paths.guardSocketUnit, content: unit(capableSocketUnit(GUARD)) },
    { path: plan.paths.guardUnit, content: unit(capableUnit(GUARD, plan.programs.guard)) },
    { path: plan.paths.namesSocketUnit, content: unit(capableSocketUnit(NAMES)) },
    { path: plan.paths.namesUnit, content: unit(capableUnit(NAMES, plan.programs.names)) },
    { path: plan.paths.repinSocketUnit, content: unit(capableSocketUnit(REPIN)) },
    { path: plan.paths.repinUnit, content: unit(capableUnit(REPIN, plan.programs.repin)) },
  ];
}

function hookJson(plan: InstallPlan): string {
  const hook = {
    version: '1.0.0',
    hook: {
      path: plan.programs.precreate,
      args: ['sockswitch-precreate', '--socket', plan.runtime.hookSocket],
    },
    when: { annotations: { '^(sockswitch/.+|nerdctl/bypass4netns(-.*)?)$': '.*' } },
    stages: ['precreate'],
  };
  return `${JSON.stringify(hook, null, 2)}\n`;
}

function containersDropIn(plan: InstallPlan): string {
  const ours = JSON.stringify(plan.paths.hooksDirectory); // a JSON string is a TOML basic string
  const list = appends(plan.podmanVersion)
    ? ['# Adds to the directories that other files name.', `hooks_dir = [${ours}, {append=true}]`]
    : [
        '# This Podman cannot append to a list (4.8 can), so this replaces what other files name.',
        `hooks_dir = ["${DEFAULT_HOOKS_DIRECTORY}", ${ours}]`,
      ];
  return [...HEADER, '[engine]', ...list, ''].join('\n');
}

/**
 * Whether drop-ins can append: since containers-common 0.57 (Podman 4.8). On older ones the very line
 * makes every podman command fail, so an unknown version counts as old.
 */
export function appends(podmanVersion: string | undefined): boolean {
  const match = /^([0-9]+)\.([0-9]+)/.exec(podmanVersion ?? '');
  if (match === null) return false;
  const major = Number(match[1]);
  const minor = Number(match[2]);
  return major > 4 || (major === 4 && minor >= 8);
}

function unit(lines: readonly string[]): string {
  return [...HEADER, ...lines, ''].join('\n');
}
