/**
 * The lab's hosts, as tests use them. test/lab/README.md says what they are.
 *
 * Theory of operation. `global-setup.ts` brings the lab up before the first file and takes it down after
 * the last; it tells the workers by `provide` which lab that is, or why there can be none. Everything
 * a test does on a host goes through `test/lab/lab exec`, a process of its own on this machine, so that a
 * test that is given up on takes what it started with it: the command on the host gets SIGTERM when
 * `lab exec` is killed. Nothing here asserts; a command's exit status is a value.
 */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    lab: LabContext;
  }
}

export interface LabContext {
  readonly name: string;
  /** Why there is no lab here; undefined when there is one. */
  readonly unavailable: string | undefined;
}

export interface Result {
  /** Exit status; 128 and the signal's number where the command was killed, 124 after a time-out. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds. Only there to end what hangs: the machine may be very busy. */
  readonly timeout?: number;
  readonly root?: boolean;
}

export const LAB_PROGRAM = fileURLToPath(new URL('../../lab/lab', import.meta.url));
const PATIENCE_MS = 120_000;

/** Addresses of test/lab/README.md. */
export const REMOTE = { v4: '10.77.0.100', v6: 'fd77::100', name: 'remote.lab' } as const;
export const FAR = { v4: '10.99.0.1', v6: 'fd99::1', name: 'far.lab' } as const;
/** remote, too, at addresses that are public ones, which only the hosts' default routes lead to. */
export const PUBLIC = { v4: '203.0.113.1', v6: '2d00:113::1' } as const;
export const HOST1 = { v4: '10.77.0.11', v6: 'fd77::11' } as const;
export const HOST2 = { v4: '10.77.0.12', v6: 'fd77::12' } as const;

/** A `describe` for tests that need the lab: skipped, with the reason in its name, where there is none. */
export function describeOnLab(name: string, body: () => void): void {
  const { unavailable } = inject('lab');
  if (unavailable === undefined) describe(name, body);
  else describe.skip(`${name} (skipped: ${unavailable})`, body);
}

/** `test/lab/lab VERB ...` for the lab of this run, or for another one. */
export async function lab(
  words: readonly string[],
  options: RunOptions & { readonly labEnv?: Readonly<Record<string, string>> } = {},
): Promise<Result> {
  const result = await execa(LAB_PROGRAM, words, {
    env: { LAB_NAME: inject('lab').name, ...options.labEnv },
    input: options.stdin ?? '',
    reject: false,
    stripFinalNewline: false,
    timeout: options.timeout ?? PATIENCE_MS,
    forceKillAfterDelay: 5_000,
  });
  return {
    status: result.timedOut ? 124 : (result.exitCode ?? 128),
    stdout: result.stdout,
    stderr: result.timedOut ? `${result.stderr}\n(timed out)` : result.stderr,
  };
}

export interface Server {
  /** What it has printed so far, both streams. */
  output(): string;
  stop(): Promise<void>;
}

export class Host {
  readonly name: string;
  readonly #labEnv: Readonly<Record<string, string>>;
  readonly #servers: Server[] = [];

  constructor(name: string, labEnv: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.#labEnv = labEnv;
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    return lab(this.#words(argv, options), { ...options, labEnv: this.#labEnv });
  }

  /** A script for bash, with `args` as $1 and on. */
  sh(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    return this.run(['bash', '-c', script, 'bash', ...args], options);
  }

  /** Standard output of a command that must succeed. */
  async output(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(argv, options);
    if (result.status !== 0) throw new Error(`${this.name}: ${describeResult(argv, result)}`);
    return result.stdout;
  }

  /** Starts a program that stays, and waits until `ready` succeeds (a command for bash). */
  async serve(argv: readonly string[], ready: string, options: RunOptions = {}): Promise<Server> {
    const child = execa(LAB_PROGRAM, this.#words(argv, options), {
      env: { LAB_NAME: inject('lab').name, ...this.#labEnv },
      stdin: 'ignore',
      reject: false,
      all: true,
      buffer: false,
      forceKillAfterDelay: 5_000,
    });
    let output = '';
    let ended = false;
    child.all.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    // Not the end of its output: what it has started may hold that open.
    const exit = new Promise<void>((resolve) => {
      child.once('exit', () => {
        ended = true;
        resolve();
      });
    });
    const server: Server = {
      output: () => output,
      stop: async () => {
        child.kill('SIGTERM');
        await exit;
        child.all.destroy();
      },
    };
    this.#servers.push(server);
    for (let tries = 0; tries < 300; tries++) {
      if ((await this.sh(ready, [], options)).status === 0) return server;
      if (ended) throw new Error(`${this.name}: "${argv.join(' ')}" ended at once:\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${this.name}: "${argv.join(' ')}" does not get ready:\n${output}`);
  }

  async stopServers(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.stop()));
  }

  #words(argv: readonly string[], options: RunOptions): string[] {
    const env = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
    const command = env.length === 0 ? argv : ['env', ...env, ...argv];
    return ['exec', ...(options.root === true ? ['--root'] : []), this.name, '--', ...command];
  }
}

export const host1 = new Host('host1');
export const host2 = new Host('host2');
export const remote = new Host('remote');

/** A command for bash that succeeds when something listens on a TCP port. */
export function listens(port: number): string {
  return `[ -n "$(ss --no-header --tcp --listening 'sport = :${port}')" ]`;
}

/** What a failed command says, for an error message. */
export function describeResult(argv: readonly string[], result: Result): string {
  return `"${argv.join(' ')}" ended with ${result.status}\n${result.stdout}${result.stderr}`;
}

/** Waits until `probe` gives a value that is not undefined; for what happens soon, not at once. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const value = await probe();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain: ${what}`);
}
