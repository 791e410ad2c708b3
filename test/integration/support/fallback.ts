/** Fallback programs as the native code sees them on a host, through `native-tests --fallback`. */
import { z } from 'zod';
import { describeResult, type Host } from './lab.js';

export const NATIVE_TESTS = '/opt/sockswitch/build/Release/native-tests';

const programSchema = z.strictObject({
  kind: z.enum(['pasta', 'slirp4netns']),
  pid: z.number(),
  netns: z.string(),
  device: z.string(),
  obstacle4: z.string(),
  obstacle6: z.string(),
  servesBridges: z.boolean(),
});
export type FallbackProgram = z.infer<typeof programSchema>;

/** All that are found on `host`. Fails on problems: programs that are seen and cannot be used. */
export async function findFallbackPrograms(host: Host): Promise<readonly FallbackProgram[]> {
  const argv = [NATIVE_TESTS, '--fallback', 'find'];
  const result = await host.run(argv);
  if (result.status !== 0 || result.stderr !== '') throw new Error(describeResult(argv, result));
  const lines = result.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => programSchema.parse(JSON.parse(line)));
}

/** Options in `program --help` on `host` that nobody has classified. */
export async function unclassifiedOptions(
  host: Host,
  program: FallbackProgram['kind'],
): Promise<readonly string[]> {
  const known = await host.output([NATIVE_TESTS, '--fallback', 'options', program]);
  const classified = new Set(known.split('\n'));
  const help = await host.sh(`${program} --help 2>&1`);
  const offered = [...help.stdout.matchAll(/(?<=^|[\s,])--?[a-zA-Z0-9][-a-zA-Z0-9]*/gm)];
  if (offered.length < 10) throw new Error(`${program} --help is not understood:\n${help.stdout}`);
  return [...new Set(offered.map(([option]) => option))].filter(
    (option) => !classified.has(option),
  );
}
