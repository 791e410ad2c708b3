/**
 * Runs the hook's code on a made-up spec, so that the first container does not pay for compiling it.
 *
 * Cold, a spec takes some tens of milliseconds; after this about one. It runs when the daemon is ready.
 */
import type { RewriteOptions } from '../../oci/seccomp.js';
import { processSpec } from '../../oci/spec.js';

const ROUNDS = 20;
/** About as many names as Podman's default profile has. */
const NAMES = 400;

export function warmUp(options: RewriteOptions): void {
  // Each round has a profile of its own: one that was seen before is not rewritten again.
  for (let round = 0; round < ROUNDS; round++) processSpec(warmUpSpec(round), options);
}

/** An accelerated container's spec, with a profile of Podman's size that no other round has. */
export function warmUpSpec(round: number): string {
  const names = Array.from({ length: NAMES }, (_, index) => `call_${round}_${index}`);
  return JSON.stringify({
    annotations: { 'sockswitch/enable': 'true', 'sockswitch/ignore': '192.0.2.0/24 ::1' },
    linux: {
      namespaces: [{ type: 'network' }],
      seccomp: {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrnoRet: 38,
        syscalls: [
          {
            names: [...names, 'connect', 'bind', 'listen', 'socketcall'],
            action: 'SCMP_ACT_ALLOW',
          },
          {
            names: ['personality'],
            action: 'SCMP_ACT_ALLOW',
            args: [{ index: 0, value: 8, op: 'SCMP_CMP_EQ' }],
          },
        ],
      },
    },
  });
}
