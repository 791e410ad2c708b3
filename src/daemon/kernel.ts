/** What the running kernel must have, and the versions that brought it. */
import { release } from 'node:os';
import { UserError } from '../errors.js';
import type { Addon } from './addon.js';

export type KernelFeatures = ReturnType<Addon['kernelFeatures']>;

/** Throws UserError that names everything that is missing. */
export function requireKernel(features: KernelFeatures): void {
  const missing: string[] = [];
  if (!features.userNotif)
    missing.push('seccomp user notification (Linux 5.0, CONFIG_SECCOMP_FILTER)');
  if (!features.addfd) missing.push('putting a descriptor into a notified process (Linux 5.9)');
  if (!features.netnsCookie) missing.push('network namespace cookies of sockets (Linux 5.14)');
  if (missing.length > 0) {
    throw new UserError(
      `this kernel (${release()}) lacks ${missing.join(', ')}: sockswitch needs Linux 5.14 or later; containers run on their fallback network without it`,
    );
  }
  if (features.pinningProblem !== '') {
    throw new UserError(
      `sockets cannot be confined to their network device on this kernel (${release()}): ${features.pinningProblem}; without it a container could reach the host's own services, so sockswitch does not run here`,
    );
  }
}
