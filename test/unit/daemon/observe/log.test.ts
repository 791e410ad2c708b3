import { expect, test } from 'vitest';
import { readableLine } from '../../../../src/daemon/observe/log.js';

test('a log line for people', () => {
  const line = JSON.stringify({
    level: 40,
    time: '2026-11-21T12:34:56.789Z',
    container: 'abc',
    detail: 'a b\u001b',
    msg: 'fallback: x',
  });
  expect(readableLine(line)).toBe('12:34:56 warn  fallback: x container=abc detail="a b\\u001b"');
});
