/**
 * What the run found out, for docs/threat-model.md: one JSON document, made of lines that come one by one because test files
 * run in processes of their own.
 *
 *   SOCKSWITCH_SECURITY_RESULTS   where it goes (default: sockswitch-security.json in the temporary directory)
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { SYSTEMS } from '../catalogue.js';

/** `ended`: the attack did not run to its end there, because the system broke down or hung. */
const verdict = z.enum(['blocked', 'reached', 'ended', 'missing']);
export type Verdict = z.infer<typeof verdict>;

const recordSchema = z.object({
  attack: z.string(),
  system: z.enum(SYSTEMS),
  verdict,
  /** What the program said beside it. */
  note: z.string(),
});
export type SecurityRecord = z.infer<typeof recordSchema>;

const resultsSchema = z.object({ records: z.array(recordSchema) });
type SecurityResults = z.infer<typeof resultsSchema>;

export function resultsPath(): string {
  const { SOCKSWITCH_SECURITY_RESULTS: path } = process.env;
  return path ?? join(tmpdir(), 'sockswitch-security.json');
}

const linesFile = () => `${resultsPath()}.lines`;

export function startResults(): void {
  rmSync(linesFile(), { force: true });
}

export function record(entry: SecurityRecord): void {
  appendFileSync(linesFile(), `${JSON.stringify(entry)}\n`);
}

/** Adds what this run recorded to the document of earlier ones, so that a part can be run again. */
export function finishResults(): void {
  if (!existsSync(linesFile())) return;
  const cells = new Map<string, SecurityRecord>();
  for (const old of readResults()?.records ?? []) cells.set(`${old.attack}/${old.system}`, old);
  for (const line of readFileSync(linesFile(), 'utf8').trim().split('\n')) {
    const entry = recordSchema.parse(JSON.parse(line));
    cells.set(`${entry.attack}/${entry.system}`, entry);
  }
  const results: SecurityResults = { records: [...cells.values()] };
  writeFileSync(resultsPath(), `${JSON.stringify(results, null, 2)}\n`);
}

/** Undefined where nothing has been recorded yet. */
export function readResults(): SecurityResults | undefined {
  if (!existsSync(resultsPath())) return undefined;
  return resultsSchema.parse(JSON.parse(readFileSync(resultsPath(), 'utf8')));
}
