/**
 * What the run found out, for docs/compatibility.md.
 *
 * Each test of the matrix records one cell: a behaviour on a network with a runtime. Records are lines of
 * JSON, appended as they come, because test files run in processes of their own; the end of the run makes
 * one JSON document of them. A later record of the same cell replaces an earlier one.
 *
 *   SOCKSWITCH_RESULTS   where the document goes (default: sockswitch-compatibility-LAB_NAME.json in the
 *                        temporary directory, so runs in several labs do not meet)
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/**
 * `accelerated`: over a socket of the host. `fallback`: over the fallback network, as without the annotation.
 * `inside`: never leaves the container. `refused`: the start is refused with a message.
 * `not-offered`: this network does not have it, with or without acceleration.
 */
const verdict = z.enum(['accelerated', 'fallback', 'inside', 'refused', 'not-offered']);
export type Verdict = z.infer<typeof verdict>;

const recordSchema = z.object({
  behaviour: z.string(),
  network: z.string(),
  runtime: z.string(),
  verdict,
});
export type ResultRecord = z.infer<typeof recordSchema>;

export const resultsSchema = z.object({
  versions: z.record(z.string(), z.string()),
  records: z.array(recordSchema),
});
export type Results = z.infer<typeof resultsSchema>;

const linesFile = () => `${resultsPath()}.lines`;
const versionsFile = () => `${resultsPath()}.versions`;

export function resultsPath(): string {
  const { SOCKSWITCH_RESULTS: path, LAB_NAME: lab = 'test' } = process.env;
  return path ?? join(tmpdir(), `sockswitch-compatibility-${lab}.json`);
}

export function record(cell: ResultRecord): void {
  appendFileSync(linesFile(), `${JSON.stringify(cell)}\n`);
}

export function recordVersions(versions: Readonly<Record<string, string>>): void {
  writeFileSync(versionsFile(), JSON.stringify(versions));
}

export function startResults(): void {
  for (const file of [linesFile(), versionsFile()]) rmSync(file, { force: true });
}

/** Makes the document; a run of a few files only gives a document of a few cells. Undefined: of none. */
export function finishResults(): Results | undefined {
  if (!existsSync(linesFile())) return undefined;
  const lines = readFileSync(linesFile(), 'utf8').trim().split('\n');
  const cells = new Map<string, ResultRecord>();
  for (const line of lines) {
    const cell = recordSchema.parse(JSON.parse(line));
    cells.set(`${cell.behaviour}/${cell.network}/${cell.runtime}`, cell);
  }
  const versions = existsSync(versionsFile())
    ? z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(versionsFile(), 'utf8')))
    : {};
  const results: Results = { versions, records: [...cells.values()] };
  writeFileSync(resultsPath(), `${JSON.stringify(results, null, 2)}\n`);
  return results;
}
