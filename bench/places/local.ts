/**
 * A user's own machine: the rootless Podman that is there, and a server on another machine.
 *
 * Nothing of the user's is touched. sockswitch is installed into a temporary configuration directory by its own `install`, its daemon
 * runs on a temporary runtime directory, Podman is pointed at the hook by --hooks-dir, and the image is made from a few of the
 * machine's own programs. `close` removes all of it. A server on this very machine would not do: connections to the host's
 * own addresses are never switched.
 */

import { lookup } from 'node:dns/promises';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { CHILD, CommandError, execute, lastLines } from '../runner/execute.js';
import {
  type AcceleratedContainers,
  daemonStatus,
  memoryOfProduct,
  type Place,
  switchedOf,
} from './place.js';

const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const PROBE = fileURLToPath(new URL('../probe', import.meta.url));
const IMAGE = 'localhost/sockswitch-bench';
const IPERF_PORT = 5201;
const CONNECT_MS = 3_000;
const DAEMON_START_MS = 60_000;
const DAEMON_STOP_MS = 5_000;

/** Programs that the image is made of, besides the probe. */
const IN_IMAGE = ['sh', 'cat', 'date', 'grep', 'sleep', 'iperf3'];

const NEEDED: Readonly<Record<string, string>> = {
  podman: 'podman',
  newuidmap: 'uidmap',
  iperf3: 'iperf3',
};

export interface LocalOptions {
  /** Undefined where no workload talks to one. */
  readonly server: string | undefined;
  readonly httpPort: number;
  /** What to say to those who have none. */
  readonly howToServe: string;
  readonly onLine: (line: string) => void;
}

/** `what` needs a second machine, `command` is given its address, and `inLab` does without. */
export function howToServe(what: string, command: string, inLab: string): string {
  return `
As an ordinary user ${what} runs containers in your own rootless Podman and needs a second machine to talk to
(connections to this machine's own addresses are never switched, so a server here would show nothing). There, run:

    iperf3 -s                                  # Debian: sudo apt-get install iperf3
    any HTTP server, such as nginx             # optional, for connections a second

and here:

    ${command} --server ADDRESS [--http-port 80]

Without a second machine, the lab has one; in a clone of sockswitch: sudo ${inLab}
`;
}

/** Throws CommandError that names the package when a program is missing. */
export function checkPrograms(): void {
  const missing = Object.entries(NEEDED).flatMap(([program, name]) =>
    which(program) === undefined ? [name] : [],
  );
  if (which('pasta') === undefined && which('slirp4netns') === undefined) missing.push('passt');
  if (missing.length === 0) return;
  const list = missing.join(' ');
  throw new CommandError(`missing: ${list}. Install with: sudo apt-get install ${list}`);
}

/** Full path of a program in PATH (and in the system's directories, which users lack on some systems). */
export function which(program: string): string | undefined {
  const { PATH = '' } = process.env;
  return [...PATH.split(delimiter), '/usr/sbin', '/sbin']
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export async function openLocal(options: LocalOptions): Promise<Place> {
  const server =
    options.server === undefined ? '' : await resolveServer(options.server, options.howToServe);
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await build(server, options, undo, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(
  server: string,
  { httpPort, onLine }: LocalOptions,
  undo: (() => Promise<void>)[],
  close: () => Promise<void>,
): Promise<Place> {
  const scratch = mkdtempSync(join(runtimeBase(), 'sockswitch-bench-'));
  undo.push(async () => rmSync(scratch, { recursive: true, force: true }));

  onLine('making an image of programs of this machine');
  await makeImage(scratch);
  undo.push(async () => {
    await execute(['podman', 'rmi', '--force', '--ignore', IMAGE], { always: true });
  });

  onLine('starting the daemon');
  const env = productEnvironment(scratch);
  const sockswitch = (...args: readonly string[]) => [process.execPath, CLI, ...args];
  await execute(sockswitch('install'), { env });
  // Its containers are ours. The user's own daemon is more careful.
  writeFileSync(join(env.XDG_CONFIG_HOME, 'sockswitch', 'config.toml'), 'require_guard = false\n');
  const daemon = execa(process.execPath, [CLI, 'daemon'], {
    ...CHILD,
    env,
    stdin: 'ignore',
    stdout: 'ignore',
  });
  undo.push(async () => {
    // While the daemon still runs: this also ends the keeper, which would outlive it.
    await execute(sockswitch('uninstall'), { env, always: true });
    daemon.kill('SIGTERM');
    const timer = setTimeout(() => daemon.kill('SIGKILL'), DAEMON_STOP_MS);
    await daemon;
    clearTimeout(timer);
  });
  await waitForDaemon(daemon, () => execute(sockswitch('status'), { env }));
  const status = await execute(sockswitch('status', '--json'), { env });
  const { kernel } = daemonStatus.parse(JSON.parse(status));
  if (!kernel.socketGuard) {
    onLine(
      'note: sockets cannot be guarded here ("sockswitch doctor" tells why); measuring without',
    );
  }

  return {
    kind: 'local',
    address: '',
    server,
    httpPort,
    image: IMAGE,
    podman: ['podman', `--hooks-dir=${join(scratch, 'config', 'sockswitch', 'hooks.d')}`],
    probeArgs: [],
    ownNetworkArgs: [],
    scratch,
    asUser: (argv) => [...argv],
    run: execute,
    switched: async (id) => {
      const text = await execute(sockswitch('ps', '--json'), { env });
      const list: AcceleratedContainers = JSON.parse(text);
      return switchedOf(list, id);
    },
    productMemory: async () =>
      memoryOfProduct(await execute(sockswitch('status', '--json'), { env }), execute),
    close,
  };
}

/** An address that is not this machine's. */
async function resolveServer(name: string, advice: string): Promise<string> {
  const { address } = await lookup(name).catch(() => {
    throw new CommandError(`cannot resolve "${name}": give the server's address`);
  });
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (address.startsWith('127.') || own.some((entry) => entry.address === address)) {
    throw new CommandError(`${address} is this machine itself.\n${advice}`);
  }
  return address;
}

/** Throws CommandError unless something listens where iperf3 does. */
export async function needIperf3(address: string): Promise<void> {
  if (await answers(address, IPERF_PORT)) return;
  throw new CommandError(`nothing answers at ${address} port ${IPERF_PORT}: run "iperf3 -s" there`);
}

/** Whether something accepts connections there. */
export function answers(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: CONNECT_MS });
    const end = (result: boolean) => () => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', end(true));
    socket.once('timeout', end(false));
    socket.once('error', end(false));
  });
}

/** As short as can be had: sockets lie below, and their paths may have 107 bytes only. */
function runtimeBase(): string {
  const { XDG_RUNTIME_DIR: base } = process.env;
  return base === undefined || base === '' ? tmpdir() : base;
}

/** Our own directories for sockswitch; the user's own for the Podman that sockswitch asks. */
function productEnvironment(scratch: string) {
  const directories = {
    run: join(scratch, 'run'),
    config: join(scratch, 'config'),
    bin: join(scratch, 'bin'),
  };
  for (const directory of Object.values(directories)) mkdirSync(directory, { mode: 0o700 });
  const { XDG_RUNTIME_DIR: run, XDG_CONFIG_HOME: config, PATH = '' } = process.env;
  const restore = (name: string, value: string | undefined) =>
    value === undefined ? `unset ${name}` : `export ${name}=${shellWord(value)}`;
  const shim = join(directories.bin, 'podman');
  writeFileSync(
    shim,
    [
      '#!/bin/sh',
      restore('XDG_RUNTIME_DIR', run),
      restore('XDG_CONFIG_HOME', config),
      `exec ${shellWord(which('podman') ?? 'podman')} "$@"`,
      '',
    ].join('\n'),
  );
  chmodSync(shim, 0o755);
  return {
    XDG_RUNTIME_DIR: directories.run,
    XDG_CONFIG_HOME: directories.config,
    PATH: `${directories.bin}${delimiter}${PATH}`,
  };
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The programs, the libraries that they load, and the probe. */
async function makeImage(scratch: string): Promise<void> {
  const programs = IN_IMAGE.map((name) => which(name) ?? name);
  const libraries = new Set<string>();
  for (const program of programs) {
    const loaded = await execute(['ldd', program]);
    for (const [path] of loaded.matchAll(/\/[^\s():]+/g)) if (path !== program) libraries.add(path);
  }
  // What the C library loads on demand, so that ldd does not know it.
  for (const path of [...libraries].filter((name) => /\/libc\.so/.test(name))) {
    const unwinder = join(path, '..', 'libgcc_s.so.1');
    if (existsSync(unwinder)) libraries.add(unwinder);
  }
  const tree = join(scratch, 'image');
  mkdirSync(join(tree, 'tmp'), { recursive: true });
  const tar = join(scratch, 'image.tar');
  const relative = [...programs, ...libraries].map((path) => path.slice(1));
  await execute(['tar', '-chf', tar, '-C', '/', ...relative]);
  await execute(['tar', '-rf', tar, '-C', tree, 'tmp']);
  await execute(['tar', '-rhf', tar, '-C', join(PROBE, '..'), 'probe']);
  await execute(['podman', 'import', '--quiet', tar, IMAGE]);
  rmSync(tar);
}

/** `ended` resolves with what the daemon said, if it ends. */
async function waitForDaemon(
  ended: Promise<{ readonly stderr: string }>,
  status: () => Promise<string>,
): Promise<void> {
  let said: string | undefined;
  ended.then(({ stderr }) => {
    said = stderr;
  });
  for (const deadline = Date.now() + DAEMON_START_MS; Date.now() < deadline; ) {
    try {
      await status();
      return;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
    }
    if (said !== undefined) throw new CommandError(`the daemon did not start: ${lastLines(said)}`);
  }
  throw new CommandError(`the daemon did not start within ${DAEMON_START_MS / 1000} s`);
}
