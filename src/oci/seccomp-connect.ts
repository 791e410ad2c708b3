/**
 * Reports connect(2) only with lengths that addresses of IPv4 and IPv6 have: a filter does not see the address, but its length.
 *
 * So what goes to AF_UNIX, which is most of what connects within a container, is not reported, except where the name happens to
 * be as long. The lengths, as programs give them: 16 (sockaddr_in, and sockaddr for AF_UNSPEC), 28 (sockaddr_in6), 24 (the same
 * before RFC 2553), 128 (sockaddr_storage), and 2, the shortest by which AF_UNSPEC disconnects. Languages and libraries give
 * the exact length or sockaddr_storage's: glibc's and musl's getaddrinfo(3), Go, the JDK, Python, Rust, libuv, nginx, OpenSSH, curl.
 *
 * Whoever gives another length, which the kernel takes from 16 on, is not accelerated. On a host socket that has been disconnected so
 * the kernel executes it in the host's namespace, as in a race that is won: pin and guard hold there (docs/threat-model.md).
 */
import { type Cell, condition, cut } from './seccomp-cells.js';
import type { SeccompRule } from './seccomp-types.js';

export const CONNECT = 'connect';
const LENGTH = 2;
const REPORTED = new Set([2, 16, 24, 28, 128]);
/** Of longer ones the kernel says EINVAL. */
const BITS = 8;

/** For a call that nothing denies: `allow` is the action of what is not reported; undefined if it is the default. */
export function reportInternetLengths(allow: string | undefined): SeccompRule[] {
  return cut(BITS, (length) => REPORTED.has(length)).flatMap((cell) => rule(cell, allow));
}

function rule(cell: Cell, allow: string | undefined): SeccompRule[] {
  const action = cell.reported ? 'SCMP_ACT_NOTIFY' : allow;
  return action === undefined
    ? []
    : [{ names: [CONNECT], action, args: [condition(LENGTH, cell)] }];
}
