/**
 * Reports setsockopt(2) for the options that programs set rarely, so that the data plane need not ask each socket for
 * them (native/switch/socket_options.h, whose table this follows; native/notify/set_option.cc).
 *
 * So are the options by which legacy packet filters are changed (64, IPT_SO_SET_REPLACE and IP6T_SO_SET_REPLACE), which the kernel
 * reports in no other way.
 *
 * What is set often, also on connections that are there, is not reported and costs some 0.1 to 0.3 us more, since the filter has
 * to look at its arguments. Levels that are no TCP socket's are not reported either. Options that we do not know are.
 */
import { reportOptions } from './seccomp-options.js';
import type { SeccompRule } from './seccomp-types.js';

export const SETSOCKOPT = 'setsockopt';
const NAME_BITS = 7;

interface Level {
  /** Read from each socket, or of no matter to a TCP socket that is going to connect. */
  readonly usual: readonly number[];
  readonly rare: readonly number[];
  /** Options from here on are newer than this list. */
  readonly unknownFrom: number;
}

/** include/uapi/asm-generic/socket.h, linux/in.h, linux/tcp.h, linux/in6.h; by level. */
export const LEVELS: Readonly<Record<number, Level>> = {
  // SOL_SOCKET: REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, LINGER, REUSEPORT, PASSCRED, RCVTIMEO, SNDTIMEO (old and new), and what is
  // for the owner of a listening or Unix socket, or seen by SO_MEMINFO (filters).
  1: {
    usual: [
      1, 2, 3, 4, 7, 8, 9, 13, 15, 16, 17, 20, 21, 26, 27, 28, 30, 31, 32, 33, 34, 38, 39, 44, 50,
      51, 52, 66, 67, 68,
    ],
    rare: [
      5, 6, 10, 12, 18, 25, 29, 35, 36, 37, 45, 46, 47, 49, 60, 61, 62, 63, 64, 65, 69, 70, 73, 74,
    ],
    unknownFrom: 84,
  },
  // IPPROTO_IP: TOS, and what is for datagrams.
  0: {
    usual: [1, 3, 4, 6, 7, 8, 12, 13, 14, 16, 17, 18, 20, 22, 23, 32, 33, 34, 35, 36, 49],
    rare: [2, 10, 11, 15, 19, 21, 24, 50, 51],
    unknownFrom: 52,
  },
  // IPPROTO_TCP: NODELAY, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, QUICKACK, MD5SIG, USER_TIMEOUT, REPAIR*, FASTOPEN, SAVE_SYN, ULP
  6: {
    usual: [1, 3, 4, 5, 6, 11, 12, 14, 18, 19, 20, 21, 22, 23, 27, 28, 31, 32, 38],
    rare: [2, 7, 8, 9, 10, 13, 16, 17, 24, 25, 29, 30, 33, 34, 36, 37],
    unknownFrom: 39,
  },
  // IPPROTO_IPV6: V6ONLY, TCLASS, and what is for datagrams.
  41: {
    usual: [
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 18, 19, 20, 21, 22, 26, 27, 28, 29, 31, 49, 50, 51, 52,
      53, 54, 55, 56, 57, 58, 59, 60, 61, 66, 67,
    ],
    rare: [16, 23, 24, 25, 33, 64, 70, 72, 73, 75, 76, 78],
    unknownFrom: 79,
  },
};

/** For a call that nothing denies: `allow` is the action of what is not reported; undefined if it is the default. */
export function reportRareOptions(allow: string | undefined): SeccompRule[] {
  return reportOptions(SETSOCKOPT, NAME_BITS, allow, (level) => {
    const names = LEVELS[level];
    return names && ((name) => wanted(names, name));
  });
}

function wanted({ usual, rare, unknownFrom }: Level, name: number): boolean | undefined {
  if (usual.includes(name)) return false;
  return rare.includes(name) || name >= unknownFrom ? true : undefined;
}
