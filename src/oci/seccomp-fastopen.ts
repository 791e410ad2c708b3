/**
 * Refuses MSG_FASTOPEN, by which a send connects a socket that is not connected: a host socket whose
 * connection has ended could so be connected past every check. Its pin keeps it from loopback, but not
 * from the host's own address on the device that it is pinned to (test/kernel/device-pinning.cc).
 *
 * Tried with crun 1.21 and runc 1.1 on x86_64, with calls of all three of its architectures:
 *
 * - Under a denying default, such as Podman's profile, plain calls are refused, 32-bit and x32 ones too,
 *   and nothing else is. It costs about 0.1 us a send, which no longer is in the kernel's cache of calls
 *   that are always allowed.
 * - Under an allowing default (unconfined, --privileged) libseccomp copies the condition onto
 *   `socketcall`, whose registers hold whatever they happen to hold: 32-bit programs would fail at random.
 *   OCI profiles have no rules by architecture. So there nothing is refused.
 * - `socketcall` (int 0x80 on x86) has its flags in memory, where no filter can look: it stays open.
 *
 * The two gaps close where the host has no fast-open clients: net.ipv4.tcp_fastopen=0.
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
  if (allowedByDefault) return result;
  for (const [name, index] of Object.entries(FLAGS_ARGUMENT)) {
    const own = result.filter((rule) => rule.names.includes(name));
    const refusal: SeccompRule = {
      names: [name],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EOPNOTSUPP,
      args: [flags(index, MSG_FASTOPEN)],
    };
    if (own.length === 0) continue;
    // Only the plain case: rules that are conditional already stay what they are.
    if (own.some((rule) => rule.action !== 'SCMP_ACT_ALLOW' || (rule.args ?? []).length > 0))
      continue;
    result = result.flatMap((rule) => {
      if (!rule.names.includes(name)) return [rule];
      const names = rule.names.filter((other) => other !== name);
      return names.length === 0 ? [] : [{ ...rule, names }];
    });
    result.push({ names: [name], action: 'SCMP_ACT_ALLOW', args: [flags(index, 0)] }, refusal);
  }
  return result;
}

function flags(index: number, datum: number): SeccompArgument {
  return { index, value: MSG_FASTOPEN, valueTwo: datum, op: 'SCMP_CMP_MASKED_EQ' };
}
