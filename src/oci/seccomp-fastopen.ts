/**
 * Refuses MSG_FASTOPEN, by which a send connects a socket that is not connected. Off by default.
 *
 * Why off (tried with crun 1.21 and runc 1.1 on x86_64, with calls of all three of its architectures):
 *
 * - It does not close the door. Plain calls are refused, 32-bit and x32 ones too. But `socketcall`, which
 *   every process can make (int 0x80), has its flags in memory, where no filter can look.
 * - Under an allowing default (unconfined, --privileged) libseccomp copies the condition onto
 *   `socketcall`, whose registers hold whatever they happen to hold: 32-bit programs fail at random. OCI
 *   profiles have no rules by architecture. Under Podman's default profile this does not happen.
 * - Every send then runs the whole filter instead of the kernel's cache of calls that are always allowed:
 *   about 0.1 us a call.
 *
 * What is left without it: a program can reconnect a host socket whose connection has ended to another
 * remote address past the ignore list. The socket stays pinned to its egress device, so the host's
 * loopback and the host's own addresses stay out of reach. A connect(2) that is continued leaves as much
 * to a second thread that replaces the descriptor.
 */
import type { SeccompArgument, SeccompRule } from './seccomp-types.js';

const MSG_FASTOPEN = 0x20000000;
const EOPNOTSUPP = 95;
/** Index of the `flags` argument. */
const FLAGS_ARGUMENT: Readonly<Record<string, number>> = { sendto: 3, sendmsg: 2, sendmmsg: 3 };

export function refuseFastOpen(
  rules: readonly SeccompRule[],
  allowedByDefault: boolean,
): SeccompRule[] {
  let result = [...rules];
  for (const [name, index] of Object.entries(FLAGS_ARGUMENT)) {
    const own = result.filter((rule) => rule.names.includes(name));
    const refusal: SeccompRule = {
      names: [name],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EOPNOTSUPP,
      args: [flags(index, MSG_FASTOPEN)],
    };
    if (own.length === 0) {
      if (allowedByDefault) result.push(refusal);
      continue;
    }
    // Only the plain case: rules that are conditional already stay what they are.
    if (own.some((rule) => rule.action !== 'SCMP_ACT_ALLOW' || (rule.args ?? []).length > 0))
      continue;
    result = result.flatMap((rule) => {
      if (!rule.names.includes(name)) return [rule];
      const names = rule.names.filter((other) => other !== name);
      return names.length === 0 ? [] : [{ ...rule, names }];
    });
    if (!allowedByDefault) {
      result.push({ names: [name], action: 'SCMP_ACT_ALLOW', args: [flags(index, 0)] });
    }
    result.push(refusal);
  }
  return result;
}

function flags(index: number, datum: number): SeccompArgument {
  return { index, value: MSG_FASTOPEN, valueTwo: datum, op: 'SCMP_CMP_MASKED_EQ' };
}
