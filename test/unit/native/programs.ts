/** The built native programs, and a directory and processes for one test that vanish with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export function program(name: string): string {
  const path = fileURLToPath(new URL(`../../../build/Release/${name}`, import.meta.url));
  if (!existsSync(path)) throw new Error(`${path} is missing: npm run build:native`);
  return path;
}

/** Short, because socket paths are: mode 0700. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ssw-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts a program with an empty environment; what still runs when the test ends is killed. */
export function start(path: string, args: readonly string[], input?: string | Buffer): Running {
  const process = spawn(path, args, { env: {}, stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => {
    process.kill('SIGKILL');
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    process.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    process.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    process.stdin.on('error', () => {}); // EPIPE: it need not read all
    process.on('error', reject);
    process.on('close', (status) =>
      resolve({
        status,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }),
    );
  });
  process.stdin.end(input ?? '');
  return { process, ended };
}
