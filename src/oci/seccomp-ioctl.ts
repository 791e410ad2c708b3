/**
 * Reports ioctl requests about network interfaces, which a host socket would answer with the host's.
 *
 * Only the low 32 bits of the request count, and libseccomp knows no "masked and different", so what is
 * allowed is one rule for each bit by which it can differ. To keep them few, the reported set is wider than
 * the socket requests (0x89xx, and 0x8Bxx for wireless): all whose bits 12 to 15 are 8. Terminals, files
 * and devices have none of these in practice. The rules are disjoint, so their order does not matter.
 */
import type { SeccompArgument, SeccompRule } from './seccomp-types.js';

export const IOCTL = 'ioctl';
const REQUEST = 1;
const MASK = 0xf000;
const SOCKET_REQUESTS = 0x8000;

/** For a call that nothing denies: `allow` is the action of what is not reported; undefined if it is the default. */
export function reportInterfaceRequests(allow: string | undefined): SeccompRule[] {
  const reported = ioctlRule('SCMP_ACT_NOTIFY', MASK, SOCKET_REQUESTS);
  if (allow === undefined) return [reported];
  const others = [0x8000, 0x4000, 0x2000, 0x1000].map((bit) =>
    ioctlRule(allow, bit, ~SOCKET_REQUESTS & bit),
  );
  return [...others, reported];
}

function ioctlRule(action: string, mask: number, datum: number): SeccompRule {
  const request: SeccompArgument = {
    index: REQUEST,
    value: mask,
    valueTwo: datum,
    op: 'SCMP_CMP_MASKED_EQ',
  };
  return { names: [IOCTL], action, args: [request] };
}
