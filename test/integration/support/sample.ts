/** What `npm test` leaves out, or repeats less often, because it takes long: `npm run test:integration` and `test:security` have all of it. */
import { test } from 'vitest';

/** Whether this run is that of `npm test`. */
export const SAMPLE = process.env['TEST_SAMPLE'] !== undefined;

/** A test that a sample does not have. It is not skipped there: a skipped test would be a requirement that is missing. */
export const unlessSample: (name: string, body: () => Promise<void>, timeout?: number) => void =
  SAMPLE ? () => undefined : test;
