/** The raw data of a run: what --json writes and bench/results/ keeps. bench/README.md describes the same in words. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { CommandError } from '../runner/execute.js';

const environmentSchema = z.object({
  /** `lab`, or `local`: a user's own machine. */
  place: z.enum(['lab', 'local']),
  kernel: z.string(),
  architecture: z.string(),
  cpu: z.string(),
  cores: z.int(),
  memoryMiB: z.int(),
  /** One minute's, when the run began; absent where nobody has looked. */
  loadAverage: z.number().optional(),
  /** Of programs; those that are missing are left out. */
  versions: z.record(z.string(), z.string()),
  sysctls: z.record(z.string(), z.string()),
  commit: z.string(),
  /** Whether the work tree differed from the commit. */
  modified: z.boolean(),
});
export type Environment = z.infer<typeof environmentSchema>;

const trialSchema = z.object({
  workload: z.string(),
  driver: z.string(),
  /** From 1. */
  round: z.int(),
  /** ISO 8601. */
  startedAt: z.string(),
  /** Exactly what was run as the container user's `podman`. */
  command: z.array(z.string()).readonly(),
  /** What was run besides. */
  note: z.string().optional(),
  /** By metric; absent when the trial failed. */
  metrics: z.record(z.string(), z.number()).optional(),
  /** Connections that sockswitch switched; absent where it did not serve the container. */
  switched: z.int().optional(),
  /** Why the trial failed. */
  error: z.string().optional(),
});
export type Trial = z.infer<typeof trialSchema>;

const runSchema = z.object({
  schema: z.literal(1),
  /** ISO 8601. */
  startedAt: z.string(),
  finishedAt: z.string(),
  /** Whether all planned trials were made. */
  complete: z.boolean(),
  suites: z.array(z.string()),
  drivers: z.array(z.string()),
  rounds: z.int(),
  environment: environmentSchema,
  trials: z.array(trialSchema),
});
export type Run = z.infer<typeof runSchema>;

/** The same as JSON Schema: bench/schema.json. */
export function resultsJsonSchema(): object {
  return z.toJSONSchema(runSchema, { io: 'input' });
}

/** Throws with the file's name when it is not the result of a run. */
export function readRun(path: string): Run {
  const result = runSchema.safeParse(readJson(path));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw new CommandError(
    `${path} is not the raw data of a run (--json writes that): ${where}${issue?.message ?? ''}`,
  );
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`cannot read ${path} as the raw data of a run: ${reason}`);
  }
}
