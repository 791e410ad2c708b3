/** Compiles attacks/*.c, statically, so that they run in any container. */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const SOURCES = fileURLToPath(new URL('../attacks', import.meta.url));
export const PROGRAMS = fileURLToPath(new URL('../../../build/attacks', import.meta.url));
const COMMON = 'attack.c';

/** Rejects with the compiler's message. */
export async function buildAttacks(): Promise<void> {
  const { CC: compiler = 'cc' } = process.env;
  mkdirSync(PROGRAMS, { recursive: true });
  const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c') && name !== COMMON);
  for (const source of sources) {
    const program = join(PROGRAMS, basename(source, '.c'));
    const flags = ['-std=gnu17', '-O1', '-Wall', '-Wextra', '-Werror', '-Wno-unused-result'];
    await execa(compiler, [...flags, '-static', '-s', '-pthread', '-o', program, source, COMMON], {
      cwd: SOURCES,
    });
  }
}
