/** Whether Podman finds our hook, and the hook the daemon. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { messageOf } from '../base/errors.js';
import { type ConfigPaths, directoryProblem, type RuntimePaths, userId } from '../base/paths.js';
import { quote } from '../base/text.js';
import type { InstallFile } from '../install/installed-files.js';
import { type Finding, ok, problem, warning } from './finding.js';

const HOOK_TIMEOUT_MS = 10_000;
const REINSTALL = 'run "sockswitch install"';

/** Each file is there and says what this build would write. */
export function checkFiles(files: readonly InstallFile[]): Finding[] {
  return files.map(({ path, content }) => {
    const id = `install.${basename(path)}`;
    if (!existsSync(path)) return problem(id, `${path} is missing`, REINSTALL);
    return readFileSync(path, 'utf8') === content
      ? ok(id, `${path} is up to date`)
      : warning(id, `${path} is not what this version would write`, REINSTALL);
  });
}

const engineTable = z.object({
  engine: z.object({ hooks_dir: z.array(z.unknown()).optional() }).optional(),
});

/** What Podman reads after our drop-in, or instead of it, and what that does to `hooks_dir`. */
export function checkPrecedence(
  paths: ConfigPaths,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Finding[] {
  const { CONTAINERS_CONF: instead, CONTAINERS_CONF_OVERRIDE: last } = environment;
  const isInstead = instead !== undefined && instead !== '';
  // "sockswitch with" names such a file for Podman 4.3.
  if (isInstead && hooksDirs(instead)?.includes(paths.hooksDirectory) !== true) {
    return [
      problem(
        'podman.precedence',
        `CONTAINERS_CONF is ${quote(instead)}: Podman reads that file instead of all others, so it does not find the hook`,
        `unset it, or write into that file, under [engine]: hooks_dir = ["${paths.hooksDirectory}"]`,
      ),
    ];
  }
  const later = [
    ...(isInstead ? [] : dropInsAfter(paths.containersDropIn)),
    ...(last === undefined || last === '' ? [] : [last]),
  ];
  const replaces = later.filter((path) => replacesHooksDir(path, paths.hooksDirectory));
  if (replaces.length === 0) {
    return [ok('podman.precedence', 'no other configuration file takes the hook’s directory away')];
  }
  return replaces.map((path) =>
    problem(
      'podman.precedence',
      `${path} sets hooks_dir without ${paths.hooksDirectory}, and Podman reads it after ours`,
      'add the directory to that list, or end the list with {append=true} (Podman 4.8 and later)',
    ),
  );
}

function dropInsAfter(path: string): string[] {
  const directory = dirname(path);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.conf') && name > basename(path))
    .map((name) => join(directory, name));
}

function replacesHooksDir(path: string, ours: string): boolean {
  const list = hooksDirs(path);
  if (list === undefined || list.includes(ours)) return false;
  return !list.some((item) => typeof item === 'object' && item !== null && 'append' in item);
}

function hooksDirs(path: string): readonly unknown[] | undefined {
  try {
    return engineTable.parse(parse(readFileSync(path, 'utf8'))).engine?.hooks_dir;
  } catch {
    return undefined; // Podman itself says so at every command
  }
}

export function checkRuntimeDirectory({ directory }: RuntimePaths): Finding {
  if (!existsSync(directory)) return ok('runtime-directory', `${directory} will be made`);
  const found = directoryProblem(statSync(directory), userId());
  return found === undefined
    ? ok('runtime-directory', `${directory} is ours alone`)
    : problem('runtime-directory', `${directory} ${found}`, 'see above');
}

const hookFile = z.object({
  hook: z.object({ path: z.string(), args: z.array(z.string()) }),
  when: z.object({ annotations: z.record(z.string(), z.string()) }),
});

/** Runs the hook as Podman would, on a made-up container, and looks whether it comes back accelerated. */
export async function dryRun(paths: ConfigPaths, runtime: RuntimePaths): Promise<Finding> {
  const id = 'hook.dry-run';
  const annotation = 'sockswitch/enable';
  try {
    const { hook, when } = hookFile.parse(JSON.parse(readFileSync(paths.hookFile, 'utf8')));
    const matches = Object.entries(when.annotations).every(
      ([key, value]) => new RegExp(key).test(annotation) && new RegExp(value).test('true'),
    );
    if (!matches) {
      return problem(
        id,
        `the hook’s patterns do not match the annotation ${annotation}`,
        REINSTALL,
      );
    }
    const spec = {
      ociVersion: '1.0.2',
      annotations: { [annotation]: 'true' },
      linux: { namespaces: [{ type: 'network' }] },
    };
    const result = await execa(hook.path, hook.args.slice(1), {
      argv0: hook.args[0] ?? hook.path,
      input: JSON.stringify(spec),
      env: {},
      extendEnv: false,
      reject: false,
      timeout: HOOK_TIMEOUT_MS,
    });
    if (result.exitCode !== 0) {
      return problem(id, `the hook fails: ${result.stderr || result.shortMessage}`, REINSTALL);
    }
    return result.stdout.includes(JSON.stringify(runtime.listenerSocket))
      ? ok(id, 'the hook accelerates a container with the annotation')
      : problem(
          id,
          'the hook leaves a container with the annotation as it is',
          'start the daemon ("systemctl --user start sockswitch" or "sockswitch daemon"); if it runs, see its log',
        );
  } catch (error) {
    return problem(id, `the hook cannot be run: ${messageOf(error)}`, REINSTALL);
  }
}
