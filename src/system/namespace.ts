/** Which namespace a path leads to. */
import { statfsSync, statSync } from 'node:fs';

/** linux/magic.h. */
const NSFS_MAGIC = 0x6e736673;

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
