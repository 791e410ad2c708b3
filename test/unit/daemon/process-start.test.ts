import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { processStart } from '../../../src/daemon/process-start.js';
import { warmUp } from '../../../src/daemon/warm-up.js';

test('when a process was started', () => {
  const child = spawn('sleep', ['60']);
  const age = Date.now() - (processStart(child.pid ?? 0)?.getTime() ?? 0);
  child.kill();
  expect(Math.abs(age)).toBeLessThan(5_000);
});

test('no such process', () => {
  expect(processStart(0)).toBeUndefined();
  expect(processStart(2 ** 30)).toBeUndefined();
});

test('the warm-up is a spec that is accelerated', () => {
  warmUp({ listenerPath: '/x', waitKillable: false, refuseFastOpen: false, machine: 'x64' });
});
