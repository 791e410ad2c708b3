import { spawn } from 'node:child_process';
import { afterEach, expect, test, vi } from 'vitest';
import { processStart, secondsSince, thisMoment } from '../../../src/system/moment.js';

afterEach(() => {
  vi.useRealTimers();
});

test('when a process was started', () => {
  const child = spawn('sleep', ['60']);
  const started = processStart(child.pid ?? 0) ?? { date: new Date(0), afterBoot: 0 };
  child.kill();
  expect(Math.abs(Date.now() - started.date.getTime())).toBeLessThan(5_000);
  expect(Math.abs(secondsSince(started))).toBeLessThan(5);
});

test('no such process', () => {
  expect(processStart(0)).toBeUndefined();
  expect(processStart(2 ** 30)).toBeUndefined();
});

test.each([
  ['put back', -10],
  ['put forward', 10],
])('an age does not change when the clock is %s', (_, years) => {
  const moment = thisMoment();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + years * 365 * 86_400_000 });
  expect(Math.abs(secondsSince(moment))).toBeLessThan(5);
});
