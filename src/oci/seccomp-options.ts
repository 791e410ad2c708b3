/**
 * Rules for setsockopt(2) and getsockopt(2), which are reported for some options only.
 *
 * Every rule has a condition on the level, and those of a level with any reported option one on the name, too: where a condition
 * on an earlier argument holds, libseccomp looks at no rule without it.
 */
import { type Cell, condition, cut } from './seccomp-cells.js';
import type { SeccompRule } from './seccomp-types.js';

const LEVEL = 1;
const NAME = 2;
const LEVEL_BITS = 6;

/** Whether an option of a level is reported, as for `cut`. */
type Wanted = (name: number) => boolean | undefined;

/**
 * Names are told apart by their low `nameBits`. `wanted` is undefined for a level of which nothing is reported. `allow` is the
 * action of what is not reported; undefined if it is the default.
 */
export function reportOptions(
  call: string,
  nameBits: number,
  allow: string | undefined,
  wanted: (level: number) => Wanted | undefined,
): SeccompRule[] {
  const rule = (action: string, level: Cell, name?: Cell): SeccompRule => {
    const args = [condition(LEVEL, level)];
    if (name !== undefined) args.push(condition(NAME, name));
    return { names: [call], action, args };
  };
  // All levels with any reported option are apart; what they have in common with others is in `reported`.
  return cut(LEVEL_BITS, (level) => wanted(level) !== undefined).flatMap((cell) => {
    if (!cell.reported) return allow === undefined ? [] : [rule(allow, cell)];
    return singles(cell).flatMap((level) => {
      const names = wanted(level.value);
      if (names === undefined) return [];
      return cut(nameBits, names).flatMap((name) => {
        const action = name.reported ? 'SCMP_ACT_NOTIFY' : allow;
        return action === undefined ? [] : [rule(action, level, name)];
      });
    });
  });
}

/** The values of a cell, a cell each: two levels that are neighbours come as one. */
function singles({ mask, value }: Cell): Cell[] {
  const size = 2 ** LEVEL_BITS - mask;
  return Array.from({ length: size }, (_, low) => ({
    mask: 2 ** LEVEL_BITS - 1,
    value: value + low,
    reported: true,
  }));
}
