/**
 * Reports getsockopt(2) for the original destination of a connection, which a service's socket of the host would answer with the
 * host's address and port (native/notify/get_option.cc): SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST
 * (linux/netfilter_ipv6/ip6_tables.h). Both are number 80, of the levels IPPROTO_IP and IPPROTO_IPV6.
 *
 * All other options are not reported. As far as levels and names are told apart by their low bits only, what would be taken for
 * these two does not exist: names of multicast routing end below 256.
 */
import { reportOptions } from './seccomp-options.js';
import type { SeccompRule } from './seccomp-types.js';

export const GETSOCKOPT = 'getsockopt';
const LEVELS = new Set([0, 41]);
const ORIGINAL_DESTINATION = 80;
const NAME_BITS = 8;

/** For a call that nothing denies: `allow` is the action of what is not reported; undefined if it is the default. */
export function reportOriginalDestination(allow: string | undefined): SeccompRule[] {
  return reportOptions(GETSOCKOPT, NAME_BITS, allow, (level) =>
    LEVELS.has(level) ? (name) => name === ORIGINAL_DESTINATION : undefined,
  );
}
