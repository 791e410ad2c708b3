/**
 * Each program in this directory shows a kernel behaviour that sockswitch rests on, and says in its first
 * lines who rests on it. They need user namespaces, and hardly any root; what cannot be tried is skipped with the reason.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, test } from 'vitest';

const COULD_NOT = 77;
const here = import.meta.dirname;
const programs = mkdtempSync(join(tmpdir(), 'sockswitch-kernel-'));
afterAll(() => rmSync(programs, { recursive: true }));

test.for(readdirSync(here).filter((name) => name.endsWith('.cc')))(
  '%s',
  async (source, context) => {
    const program = join(programs, source.replace('.cc', ''));
    await execa('c++', [
      '-std=c++20',
      '-O1',
      '-Wall',
      '-Wextra',
      '-pthread',
      '-o',
      program,
      join(here, source),
    ]);
    const { stdout, exitCode } = await execa(program, { reject: false });
    console.log(stdout);
    if (exitCode === COULD_NOT) context.skip(stdout);
    expect(stdout).not.toContain('FAIL');
    expect(exitCode).toBe(0);
  },
);
