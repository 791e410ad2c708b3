/** What `sockswitch with` must know of the Podman that it finds: where it is, its version, its configuration files. */
import { accessSync, constants, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { codeOf } from '../base/errors.js';
import type { ConfFile, PodmanAbilities } from './containers-conf.js';
import { digest, readText, type WithFiles } from './files.js';

type Environment = Readonly<Record<string, string | undefined>>;

const VERSION_TIMEOUT_MS = 10_000;

/** What stands in front of Podman, of this installation or another; the second is a former version's. */
const FRONTS = ['/build/Release/sockswitch-front', '/dist/with/front.sh'];

/**
 * The first program of this name in PATH, other than what stands in front of it: that of an outer `with`, which another
 * installation may have started. Undefined where there is none.
 */
export function findProgram(name: string, environment: Environment): string | undefined {
  const { PATH = '' } = environment;
  return PATH.split(delimiter)
    .filter((directory) => isAbsolute(directory))
    .map((directory) => join(directory, name))
    .find((path) => isExecutable(path) && !isFront(path));
}

function isFront(path: string): boolean {
  const real = realPath(path);
  return FRONTS.some((front) => real?.endsWith(front) === true);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/**
 * "5.4.2"; undefined where it does not say. The answer is kept, as long as the program is the same file: asking takes
 * longer than all else that is done.
 */
export async function podmanVersion(
  program: string,
  files: WithFiles,
): Promise<string | undefined> {
  const { dev, ino, size, mtimeMs } = statSync(program);
  const name = `podman-${digest([program, dev, ino, size, mtimeMs].join(' '))}.version`;
  try {
    const path = await files.keep(name, async () => {
      const { execFileSync } = await import('node:child_process');
      const text = execFileSync(program, ['--version'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: VERSION_TIMEOUT_MS,
      });
      return /([0-9]+\.[0-9]+\.[0-9]+)/.exec(text)?.[1] ?? '';
    });
    return readFileSync(path, 'utf8') || undefined;
  } catch {
    return undefined; // Podman itself says what is wrong with it
  }
}

/** What a version such as "5.4.2" knows; an unknown one is taken for a recent one. */
export function abilitiesOf(version: string | undefined): PodmanAbilities {
  const match = /^([0-9]+)\.([0-9]+)/.exec(version ?? '');
  if (match === null) return { override: true, append: true };
  const number = Number(match[1]) * 1000 + Number(match[2]);
  return { override: number >= 4004, append: number >= 4008 };
}

/** Whether a version lacks the hooks that acceleration takes. */
export function isTooOld(version: string | undefined): boolean {
  const match = /^([0-9]+)\.([0-9]+)/.exec(version ?? '');
  return match !== null && Number(match[1]) * 1000 + Number(match[2]) < 4003;
}

/**
 * The files that Podman reads for this user before CONTAINERS_CONF_OVERRIDE, in its order (containers.conf(5)).
 * Throws UserError for one that is there and cannot be read.
 */
export function configurationFiles(environment: Environment): ConfFile[] {
  const { CONTAINERS_CONF: instead = '', XDG_CONFIG_HOME: home = '' } = environment;
  if (instead !== '') return [confFile(instead)];
  const user = home !== '' ? home : join(environment['HOME'] ?? homedir(), '.config');
  return ['/usr/share', '/etc', user].flatMap((base) => {
    const path = join(base, 'containers', 'containers.conf');
    return [path, ...dropIns(`${path}.d`)].flatMap((one) => (isThere(one) ? [confFile(one)] : []));
  });
}

export function confFile(path: string): ConfFile {
  return { path, text: readText(path, "Podman's configuration") };
}

function dropIns(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

function isThere(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR';
  }
}
