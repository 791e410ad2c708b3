/** What an attack program prints, and when two of them are the same. */
import { z } from 'zod';

const outcomeSchema = z.object({ reached: z.boolean(), detail: z.string(), note: z.string() });
export type Outcome = z.infer<typeof outcomeSchema>;

/** Throws where a program did not end with its line. */
export function parseOutcome(stdout: string): Outcome {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return outcomeSchema.parse(JSON.parse(line));
}

/**
 * Each network in between has its own word for "nobody is there": pasta refuses, slirp4netns keeps silent, the host says
 * unreachable (docs/compatibility.md). To an attacker they are one.
 */
export function essence(outcome: Outcome): Pick<Outcome, 'reached' | 'detail'> {
  const unreached =
    /=(?:ECONNREFUSED|ECONNABORTED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EALREADY|timeout)\b/g;
  return { reached: outcome.reached, detail: outcome.detail.replace(unreached, '=unreached') };
}
