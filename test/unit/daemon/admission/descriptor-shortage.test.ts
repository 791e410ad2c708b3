import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { descriptorShortage } from '../../../../src/daemon/admission/descriptor-shortage.js';

function proc(limit: string, taken: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  mkdirSync(join(directory, 'fd'));
  for (let number = 0; number < taken; number++)
    writeFileSync(join(directory, 'fd', `${number}`), '');
  const name = 'Max open files            ';
  writeFileSync(
    join(directory, 'limits'),
    `Limit   Soft Limit\n${name}${limit}   524288   files\n`,
  );
  return directory;
}

describe('a shortage of descriptors', () => {
  test.each([
    ['400', 300, false],
    ['400', 301, true],
    ['64', 17, true],
    ['524288', 60, false],
    ['unlimited', 60, false],
  ])('limit %s, %i taken: %s', (limit, taken, short) => {
    expect(descriptorShortage(proc(limit, taken)) !== undefined).toBe(short);
  });

  test('is told with its figures, and where nothing can be opened at all', () => {
    expect(descriptorShortage(proc('64', 50))).toContain('50 of the 64 files');
    expect(descriptorShortage('/nonexistent')).toContain('cannot open any more');
    expect(descriptorShortage()).toBeUndefined();
  });
});
