/**
 * Rules for one argument of a call that is reported for some of its values only.
 *
 * Beside a rule without conditions libseccomp takes no other for the same call, so "report these, allow all others" has to be
 * said by conditions that do not overlap. A rule can hold one condition on an argument, and a range takes two: what is left is
 * MASKED_EQ. So the values are cut as a binary tree is, from the highest bit on, until all of a part are alike; the higher
 * bits of the register are not looked at, which for an `int` is right, as the kernel does not either.
 */
import type { SeccompArgument } from './seccomp-types.js';

export interface Cell {
  readonly mask: number;
  readonly value: number;
  readonly reported: boolean;
}

/**
 * The values from 0 to 2^bits - 1; others are taken for what their low bits say. `wanted` says whether one is to be
 * reported; undefined: either will do, which saves rules.
 */
export function cut(bits: number, wanted: (value: number) => boolean | undefined): Cell[] {
  const part = (bit: number, value: number): Cell[] => {
    const size = 2 ** bit;
    const inside = Array.from({ length: size }, (_, low) => wanted(value + low));
    const [some] = inside.filter((one) => one !== undefined);
    if (inside.every((one) => one === undefined || one === some)) {
      return [{ mask: 2 ** bits - size, value, reported: some ?? false }];
    }
    return [...part(bit - 1, value), ...part(bit - 1, value + size / 2)];
  };
  return part(bits, 0);
}

export function condition(index: number, { mask, value }: Cell): SeccompArgument {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
}
