/** Compiles attacks/*.c and reach/reach.c, statically, so that they run in any container. */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const SOURCES = fileURLToPath(new URL('../attacks', import.meta.url));
const REACH = fileURLToPath(new URL('../reach/reach.c', import.meta.url));
export const PROGRAMS = fileURLToPath(new URL('../../../build/attacks', import.meta.url));
const COMMON = 'attack.c';

/** Rejects with the compiler's message. */
export async function buildAttacks(): Promise<void> {
  // As for make, it may have arguments ("ccache gcc").
  const [compiler = 'cc', ...given] = (process.env['CC'] ?? 'cc').split(/\s+/);
  mkdirSync(PROGRAMS, { recursive: true });
  const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c') && name !== COMMON);
  const flags = ['-std=gnu17', '-O1', '-Wall', '-Wextra', '-Werror', '-Wno-unused-result'];
  const compile = (...files: [string, ...string[]]) => {
    const program = join(PROGRAMS, basename(files[0], '.c'));
    return execa(
      compiler,
      [...given, ...flags, '-static', '-s', '-pthread', '-o', program, ...files],
      {
        cwd: SOURCES,
      },
    );
  };
  for (const source of sources) await compile(source, COMMON);
  await compile(REACH);
}
