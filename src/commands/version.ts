/** `sockswitch --version`. */
import { release } from 'node:os';
import { loadAddon } from '../addon/addon.js';
import { messageOf } from '../base/errors.js';
import { commit, version } from '../base/version.js';
import { missingFeatures } from '../system/kernel-requirements.js';
import { print } from './output.js';

export function printVersion(): void {
  print(`sockswitch ${version()} (commit ${commit() ?? 'unknown'})`);
  print(`Node.js ${process.version}, ${process.arch}`);
  print(`Linux ${release()}: ${features()}`);
}

function features(): string {
  try {
    const found = loadAddon().kernelFeatures();
    if (found.listenerInUse) return 'a seccomp listener is in use here, and no other is possible';
    const missing = missingFeatures(found);
    if (missing.length > 0) return `lacks ${missing.join(', ')}`;
    const optional: readonly [boolean, string][] = [
      [found.syncWakeUp, 'synchronous wake-up'],
      [found.waitKillable, 'uninterrupted switching'],
      [found.pidfdThread, 'thread pidfds'],
    ];
    const there = optional.filter(([has]) => has).map(([, name]) => name);
    return there.length === 0 ? 'no optional features' : there.join(', ');
  } catch (error) {
    return messageOf(error);
  }
}
