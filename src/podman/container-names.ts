/** The names that Podman gives to containers; best effort, the product works without it. */
import { execa } from 'execa';
import { z } from 'zod';

const TIMEOUT_MS = 5_000;

const listing = z.array(z.object({ Id: z.string(), Names: z.array(z.string()).nullish() }));

/** Container id to name; empty where Podman cannot tell. */
export async function containerNames(): Promise<ReadonlyMap<string, string>> {
  const result = await execa('podman', ['ps', '--all', '--no-trunc', '--format', 'json'], {
    reject: false,
    stdin: 'ignore',
    timeout: TIMEOUT_MS,
  });
  if (result.exitCode !== 0) return new Map();
  try {
    const containers = listing.parse(JSON.parse(result.stdout));
    return new Map(containers.flatMap(({ Id, Names }) => (Names?.[0] ? [[Id, Names[0]]] : [])));
  } catch {
    return new Map();
  }
}
