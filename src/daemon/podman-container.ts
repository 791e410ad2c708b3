/** What Podman and the kernel tell about a container that sockswitch does not serve (yet). */
import { statfsSync, statSync } from 'node:fs';
import { execa } from 'execa';
import type { Life } from './publications.js';

const PODMAN_TIMEOUT_MS = 20_000;
const NO_SUCH_CONTAINER = 125;
/** linux/magic.h. */
const NSFS_MAGIC = 0x6e736673;
const THERE = new Set(['initialized', 'running', 'paused', 'stopping']);

/** Whether a container exists for the runtime. Takes about 0.1 s. */
export async function lookForContainer(id: string): Promise<Life> {
  const { exitCode, stdout } = await execa(
    'podman',
    ['container', 'inspect', '--format', '{{.State.Status}}', id],
    { reject: false, stdin: 'ignore', timeout: PODMAN_TIMEOUT_MS },
  );
  if (exitCode === NO_SUCH_CONTAINER) return 'gone';
  if (exitCode !== 0) return 'unknown';
  return THERE.has(stdout.trim()) ? 'there' : 'gone';
}

/** Identity of the namespace at a path such as /proc/PID/ns/net; undefined where it cannot be told. */
export function namespaceAt(path: string): string | undefined {
  try {
    if (statfsSync(path).type !== NSFS_MAGIC) return undefined; // what Podman's mount namespace would hide
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
