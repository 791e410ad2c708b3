/**
 * How many more files this process may open. Each container takes two descriptors, and so does each
 * `podman exec` while it runs. A start can be left unaccelerated, an exec in an accelerated container cannot: so starts are
 * turned away while there is a reserve, and the reserve is for execs, clients and look-ups.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Of the limit, and not fewer or more descriptors than these. */
const RESERVE = { share: 1 / 4, least: 48, most: 256 };

/** Why no further container can be served; undefined when it can. */
export function descriptorShortage(proc = '/proc/self'): string | undefined {
  try {
    const limit = Number(
      /^Max open files +(\d+)/m.exec(readFileSync(`${proc}/limits`, 'utf8'))?.[1] ?? Infinity,
    );
    const taken = readdirSync(`${proc}/fd`).length;
    const reserve = Math.max(RESERVE.least, Math.min(RESERVE.most, limit * RESERVE.share));
    if (taken <= limit - reserve) return undefined;
    return `the daemon has opened ${taken} of the ${limit} files that it may open (RLIMIT_NOFILE): raise its limit`;
  } catch {
    return 'the daemon cannot open any more files (RLIMIT_NOFILE): raise its limit';
  }
}
