import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wantsWaitKillable } from '../../../../src/daemon/admission/wait-killable.js';

test('WAIT_KILLABLE_RECV only where no runc would choke on it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  expect(wantsWaitKillable('always', false, directory)).toBe(false);
  expect(wantsWaitKillable('never', true, directory)).toBe(false);
  expect(wantsWaitKillable('always', true, directory)).toBe(true);
  writeFileSync(join(directory, 'runc'), '', { mode: 0o755 });
  expect(wantsWaitKillable('auto', true, directory)).toBe(false);
});
