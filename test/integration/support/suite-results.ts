/**
 * What a run of other people's test suites found out (test/programs/suites.test.ts), for docs/compatibility.md: lines of
 * JSON in the temporary directory, one for each suite and network. A later line of the same two replaces an earlier one.
 */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

const schema = z.object({
  /** "CPython `test_ssl`". */
  suite: z.string(),
  version: z.string(),
  network: z.string(),
  /** That both containers ran. */
  tests: z.int(),
  /** Known to end otherwise in the accelerated container, and why. */
  differing: z.array(z.object({ test: z.string(), reason: z.string() })),
});
export type SuiteResult = z.infer<typeof schema>;

function path(): string {
  return join(tmpdir(), `sockswitch-suites-${process.env['LAB_NAME'] ?? 'test'}.jsonl`);
}

export function startSuites(): void {
  rmSync(path(), { force: true });
}

export function recordSuite(result: SuiteResult): void {
  appendFileSync(path(), `${JSON.stringify(result)}\n`);
}

export function suiteResults(): SuiteResult[] {
  if (!existsSync(path())) return [];
  const lines = readFileSync(path(), 'utf8').trim().split('\n');
  const results = lines.map((line) => schema.parse(JSON.parse(line)));
  return [...new Map(results.map((one) => [`${one.suite} on ${one.network}`, one])).values()];
}
