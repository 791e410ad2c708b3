/**
 * After `npm install`: sees that the native programs of this package run here, and compiles them where they do not
 * (another architecture, another C library). The package has them built for x86_64 with glibc.
 */
import { spawnSync } from 'node:child_process';
import { loadAddon } from '../addon/addon.js';
import { messageOf } from '../base/errors.js';
import { programs } from '../base/paths.js';

/** Why what is built does not run here; undefined if it does. */
function problem(): string | undefined {
  const { start, front, precreate, keeper, netns, guard, names, repin } = programs();
  try {
    loadAddon();
  } catch (error) {
    return messageOf(error);
  }
  for (const path of [start, front, precreate, keeper, netns, guard, names, repin]) {
    // Whatever each says to an argument that it does not know: it says it itself.
    const options = { input: '', stdio: 'pipe', timeout: 10_000 } as const;
    const { error, signal } = spawnSync(path, ['--unknown'], options);
    if (error !== undefined || signal !== null) return `${path}: ${error?.message ?? signal}`;
  }
  return undefined;
}

const before = problem();
if (before !== undefined) {
  process.stderr.write(`sockswitch: compiling the native programs (${before})\n`);
  const { status, error } = spawnSync('node-gyp', ['rebuild', '--jobs=max', '--loglevel=error'], {
    stdio: 'inherit',
    cwd: new URL('../..', import.meta.url),
  });
  const after = error?.message ?? (status === 0 ? problem() : `node-gyp ended with ${status}`);
  if (after !== undefined) {
    process.stderr.write(
      `sockswitch: the native programs cannot be compiled (${after}): install make, g++ (C++20) and python3, then install sockswitch again\n`,
    );
    process.exitCode = 1;
  }
}
