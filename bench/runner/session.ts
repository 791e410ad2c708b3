/**
 * One container for one measurement. The measurement is the container's main process, not a `podman exec`: a second entry into the
 * container would be one more thing that differs between drivers (bypass4netns ends at it).
 *
 * The script's output comes first, then a line with its exit status; then the container waits for its stdin to close. In
 * between its counters can be read.
 */

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import type { Driver } from '../drivers/driver.js';
import type { Place } from '../places/place.js';
import { CHILD, CommandError, lastLines } from './execute.js';
import { checkInterrupted, interrupted } from './interrupt.js';

/** Where containers have the probe. */
export const PROBE = '/probe';

const END_MARK = 'sockswitch-bench: the script ended with status ';
const TIMEOUT_MS = 60_000;
let serial = 0;

export interface SessionResult {
  readonly output: string;
  /** Connections switched; undefined if sockswitch did not serve the container. */
  readonly switched: number | undefined;
}

export interface SessionPlan {
  readonly driver: Driver;
  /** What the driver adds for this trial. */
  readonly extraArgs: readonly string[];
  readonly script: string;
}

/** `podman run ...` for the plan, for running and for the record. */
export function podmanRun(place: Place, plan: SessionPlan, name: string): string[] {
  const wrapped = `(${plan.script}\n) </dev/null; printf '\\n%s%s\\n' '${END_MARK}' $?; read -r _ || :`;
  return [
    ...place.podman,
    ...['run', '--rm', '-i', '--pull=never', `--name=${name}`],
    ...plan.driver.podmanArgs,
    ...(plan.driver.ownNetwork ? place.ownNetworkArgs : []),
    ...plan.extraArgs,
    ...place.probeArgs,
    ...[place.image, 'sh', '-c', wrapped],
  ];
}

export function nextName(): string {
  serial += 1;
  return `sockswitch-bench-${process.pid}-${serial}`;
}

/** Runs the container. Throws CommandError with what the script or Podman said. */
export async function runSession(place: Place, argv: readonly string[]): Promise<SessionResult> {
  checkInterrupted();
  const name = argv.find((word) => word.startsWith('--name='))?.slice('--name='.length) ?? '';
  const [file = '', ...args] = place.asUser(argv);
  const child = execa(file, args, {
    ...CHILD,
    stdin: 'pipe',
    timeout: TIMEOUT_MS,
    cancelSignal: interrupted,
    buffer: { stdout: false, stderr: true },
  });
  child.stdin.on('error', () => undefined); // it may be gone by then
  try {
    const { output, status } = await readScript(child.stdout);
    if (status !== 0) {
      // Podman passes stderr on independently of stdout: the message is there once the container has ended.
      child.stdin.end();
      throw new CommandError(reason(await child, output));
    }
    const id = await place.run([...place.podman, 'inspect', '--format={{.Id}}', name]);
    const switched = await place.switched(id.trim());
    child.stdin.end();
    await child;
    return { output, switched };
  } catch (error) {
    const remove = [...place.podman, 'rm', '--force', '--ignore', '--time=0', name];
    await place.run(remove, { always: true });
    await child;
    checkInterrupted();
    throw error;
  }
}

/** Reads to the end mark. Without a status the container ended before it. */
function readScript(stdout: Readable): Promise<{ output: string; status: number | undefined }> {
  return new Promise((resolve) => {
    const lines: string[] = [];
    const reader = createInterface({ input: stdout });
    reader.on('line', (line) => {
      if (!line.startsWith(END_MARK)) lines.push(line);
      else resolve({ output: lines.join('\n'), status: Number(line.slice(END_MARK.length)) });
    });
    reader.on('close', () => resolve({ output: lines.join('\n'), status: undefined }));
  });
}

function reason(result: { timedOut: boolean; stderr: unknown }, output: string): string {
  if (result.timedOut) return `took longer than ${TIMEOUT_MS / 1000} s`;
  return (
    lastLines(String(result.stderr ?? '')) || lastLines(output) || 'ended without saying anything'
  );
}
