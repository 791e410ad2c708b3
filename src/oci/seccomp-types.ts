/**
 * `linux.seccomp` of the OCI runtime specification, as far as we touch it; unknown fields are kept.
 *
 * Arguments are unsigned 64-bit numbers: those beyond 2^53 are BigInts here, and come out as they were.
 */
import { isInteger, parse, stringify } from 'lossless-json';
import { z } from 'zod';

const unsigned64 = z.union([z.int().nonnegative(), z.bigint().nonnegative()]);

const argument = z.looseObject({
  index: z.int().min(0).max(5),
  value: unsigned64,
  valueTwo: unsigned64.optional(),
  op: z.string(),
});

const rule = z.looseObject({
  names: z.array(z.string()),
  action: z.string(),
  errnoRet: z.int().nonnegative().nullish(),
  args: z.array(argument).nullish(),
});

const seccomp = z.looseObject({
  defaultAction: z.string(),
  defaultErrnoRet: z.int().nonnegative().nullish(),
  architectures: z.array(z.string()).nullish(),
  flags: z.array(z.string()).nullish(),
  listenerPath: z.string().nullish(),
  listenerMetadata: z.string().nullish(),
  syscalls: z.array(rule).nullish(),
});

export type SeccompArgument = z.infer<typeof argument>;
export type SeccompRule = z.infer<typeof rule>;
export type Seccomp = z.infer<typeof seccomp>;

/** Parses the member's text. Throws ZodError, or SyntaxError. */
export function parseSeccomp(text: string): Seccomp {
  const number = (digits: string): number | bigint =>
    isInteger(digits) && !Number.isSafeInteger(Number(digits)) ? BigInt(digits) : Number(digits);
  return seccomp.parse(parse(text, undefined, number));
}

export function printSeccomp(value: Seccomp): string {
  const text = stringify(value);
  if (text === undefined) throw new TypeError('a seccomp section prints as nothing');
  return text;
}
