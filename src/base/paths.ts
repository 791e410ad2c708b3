/**
 * Every path that the product uses, in one place.
 *
 * All sockets live in the runtime directory. Whoever can enter it can hand us specs and listeners, so it
 * must be a real directory, owned by this user and closed to everybody else; anything else is refused.
 */
import { chmodSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOf, UserError } from './errors.js';
import { quote } from './text.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** `sun_path` of a Unix socket address holds 108 bytes, the ending zero included. */
const MAX_SOCKET_PATH = 107;

export interface RuntimePaths {
  readonly directory: string;
  /** The precreate hook sends specs here; the daemon serves it. */
  readonly hookSocket: string;
  /** The control API; the daemon serves it. */
  readonly controlSocket: string;
  /** `listenerPath` of rewritten specs; the keeper serves it. */
  readonly listenerSocket: string;
  /** The keeper hands listeners to the daemon here. */
  readonly keeperSocket: string;
  /** Containers that asked for acceleration and started without, as the hook notes them while no daemon answers. */
  readonly missedStarts: string;
  /** What nerdctl has registered. */
  readonly nerdctlFile: string;
  /** Where nerdctl looks for bypass4netnsd. */
  readonly nerdctlSocket: string;
  /** Prometheus' text format; the daemon serves it. */
  readonly metricsSocket: string;
  /** systemd starts sockswitch-guard here, for a daemon whose unit may not. */
  readonly guardSocket: string;
  /** The same of sockswitch-names. */
  readonly namesSocket: string;
  /** The same for sockswitch-repin. */
  readonly repinSocket: string;
}

export interface ConfigPaths {
  /** Everything of ours that the user may edit or delete. */
  readonly directory: string;
  readonly config: string;
  readonly hooksDirectory: string;
  readonly hookFile: string;
  /** What `install` wrote, so that `uninstall` removes exactly that. */
  readonly installRecord: string;
  /** Makes Podman read `hooksDirectory`. */
  readonly containersDropIn: string;
  readonly systemdUnit: string;
  readonly keeperUnit: string;
  readonly guardSocketUnit: string;
  readonly guardUnit: string;
  readonly namesSocketUnit: string;
  readonly namesUnit: string;
  readonly repinSocketUnit: string;
  readonly repinUnit: string;
}

export interface Programs {
  /** What the command `sockswitch` is. */
  readonly start: string;
  /** What `podman` and `buildah` are beneath `sockswitch with`. */
  readonly front: string;
  readonly precreate: string;
  readonly keeper: string;
  readonly netns: string;
  readonly guard: string;
  readonly names: string;
  readonly repin: string;
  /** The command line, for Node.js: for the systemd unit. */
  readonly cli: string;
}

/** The base of per-user runtime files. Throws UserError where there is none. */
export function runtimeBase(environment: Environment = process.env): string {
  const fromEnvironment = variable(environment, 'XDG_RUNTIME_DIR');
  if (fromEnvironment !== undefined && fromEnvironment !== '') {
    if (!isAbsolute(fromEnvironment)) {
      throw new UserError(
        `XDG_RUNTIME_DIR is ${quote(fromEnvironment)}, which is not an absolute path: set it to /run/user/${userId()}`,
      );
    }
    return fromEnvironment;
  }
  const usual = `/run/user/${userId()}`;
  const stats = lstatOrUndefined(usual);
  if (stats?.isDirectory() && stats.uid === userId()) return usual;
  throw new UserError(
    `XDG_RUNTIME_DIR is not set and ${usual} does not exist: log in as this user (not through su), run "loginctl enable-linger", or set XDG_RUNTIME_DIR to a directory of this user with mode 0700`,
  );
}

/** The runtime paths, without touching the file system. Throws UserError. */
export function runtimePaths(environment: Environment = process.env): RuntimePaths {
  const base = runtimeBase(environment);
  const directory = join(base, 'sockswitch');
  const paths = {
    directory,
    hookSocket: join(directory, 'hook.sock'),
    controlSocket: join(directory, 'control.sock'),
    listenerSocket: join(directory, 'listener.sock'),
    keeperSocket: join(directory, 'keeper.sock'),
    missedStarts: join(directory, 'missed-starts'),
    nerdctlFile: join(directory, 'nerdctl.json'),
    nerdctlSocket: join(base, 'bypass4netnsd.sock'),
    metricsSocket: join(directory, 'metrics.sock'),
    guardSocket: join(directory, 'guard.sock'),
    namesSocket: join(directory, 'names.sock'),
    repinSocket: join(directory, 'repin.sock'),
  };
  if (Buffer.byteLength(paths.listenerSocket) > MAX_SOCKET_PATH) {
    throw new UserError(
      `${quote(paths.listenerSocket)} is longer than the ${MAX_SOCKET_PATH} bytes that a socket's path may have: set XDG_RUNTIME_DIR to a shorter directory`,
    );
  }
  return paths;
}

/** Creates the runtime directory when it is missing, and refuses one that is not only ours. */
export function ensureRuntimeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
    chmodSync(directory, 0o700); // mkdir's mode goes through the umask
    return;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw new UserError(
        `cannot create ${quote(directory)} (${codeOf(error) ?? error}): check that XDG_RUNTIME_DIR names an existing directory that this user may write to`,
      );
    }
  }
  const problem = directoryProblem(lstatSync(directory), userId());
  if (problem !== undefined) {
    throw new UserError(`runtime directory ${quote(directory)} ${problem}`);
  }
}

/** Why a directory cannot hold our sockets, with the remedy; undefined when it can. */
export function directoryProblem(
  stats: Pick<Stats, 'uid' | 'mode' | 'isDirectory'>,
  uid: number,
): string | undefined {
  if (!stats.isDirectory()) return 'is not a directory: remove it and start again';
  if (stats.uid !== uid) {
    return `belongs to user ${stats.uid}, not to ${uid}: remove it, or set XDG_RUNTIME_DIR to a directory of your own`;
  }
  if ((stats.mode & 0o077) !== 0) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
    return `has mode ${mode}, so others can enter it: run "chmod 0700" on it`;
  }
  return undefined;
}

/** Where configuration and installed files live. Does not touch the file system. */
export function configPaths(environment: Environment = process.env): ConfigPaths {
  const base = baseDirectory(environment, 'XDG_CONFIG_HOME', '.config');
  const directory = join(base, 'sockswitch');
  const hooksDirectory = join(directory, 'hooks.d');
  const units = join(base, 'systemd', 'user');
  return {
    directory,
    config: join(directory, 'config.toml'),
    hooksDirectory,
    hookFile: join(hooksDirectory, 'sockswitch.json'),
    installRecord: join(directory, 'installed.json'),
    containersDropIn: join(base, 'containers', 'containers.conf.d', 'sockswitch.conf'),
    systemdUnit: join(units, 'sockswitch.service'),
    keeperUnit: join(units, 'sockswitch-keeper.service'),
    guardSocketUnit: join(units, 'sockswitch-guard.socket'),
    guardUnit: join(units, 'sockswitch-guard@.service'),
    namesSocketUnit: join(units, 'sockswitch-names.socket'),
    namesUnit: join(units, 'sockswitch-names@.service'),
    repinSocketUnit: join(units, 'sockswitch-repin.socket'),
    repinUnit: join(units, 'sockswitch-repin@.service'),
  };
}

/** Where Podman keeps images, networks and containers unless storage.conf says otherwise. */
export function defaultGraphRoot(environment: Environment = process.env): string {
  return join(baseDirectory(environment, 'XDG_DATA_HOME', '.local/share'), 'containers', 'storage');
}

/** The native programs that belong to this installation, and the command itself. */
export function programs(): Programs {
  // Also right from src/ (tests): both src/ and dist/ are one below the top.
  const release = fileURLToPath(new URL('../../build/Release/', import.meta.url));
  return {
    start: join(release, 'sockswitch-start'),
    front: join(release, 'sockswitch-front'),
    precreate: join(release, 'sockswitch-precreate'),
    keeper: join(release, 'sockswitch-keeper'),
    netns: join(release, 'sockswitch-netns'),
    guard: join(release, 'sockswitch-guard'),
    names: join(release, 'sockswitch-names'),
    repin: join(release, 'sockswitch-repin'),
    cli: fileURLToPath(new URL('../../dist/cli.js', import.meta.url)),
  };
}

/** The benchmarks' command line. */
export function benchProgram(): string {
  return fileURLToPath(new URL('../../build/bench/main.js', import.meta.url));
}

/** This process's user. */
export function userId(): number {
  if (process.getuid === undefined) throw new UserError('sockswitch runs on Linux only');
  return process.getuid();
}

function baseDirectory(environment: Environment, name: string, inHome: string): string {
  const value = variable(environment, name);
  if (value !== undefined && isAbsolute(value)) return value; // relative ones are to be ignored (XDG)
  const home = variable(environment, 'HOME');
  return join(home !== undefined && isAbsolute(home) ? home : homedir(), inHome);
}

function variable(environment: Environment, name: string): string | undefined {
  return environment[name];
}

function lstatOrUndefined(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
