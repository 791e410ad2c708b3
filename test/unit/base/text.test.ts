import { expect, test } from 'vitest';
import { escapeControl, nearest, quote, shorten } from '../../../src/base/text.js';

test('control and reordering characters become visible', () => {
  expect(escapeControl('a\n\r\t\0\u001b[31m\u007f\u0085')).toBe(
    'a\\n\\r\\t\\x00\\x1b[31m\\x7f\\x85',
  );
  expect(escapeControl('\u202eevil\u2028')).toBe('\\u202eevil\\u2028');
  expect(escapeControl('grün 容器')).toBe('grün 容器');
});

test('quoted text is short whatever comes in', () => {
  expect(quote('x')).toBe('"x"');
  expect(shorten('x'.repeat(1000))).toHaveLength(80);
  expect(shorten('x'.repeat(1000)).endsWith('…')).toBe(true);
  expect(shorten('\0'.repeat(1e6)).length).toBeLessThan(400);
});

test('the nearest candidate, or none', () => {
  expect(nearest('sockswitch/enabled', ['sockswitch/enable', 'sockswitch/ignore'])).toBe(
    'sockswitch/enable',
  );
  expect(nearest('ingore', ['ignore', 'log_level'])).toBe('ignore');
  expect(nearest('zzzzzz', ['ignore', 'log_level'])).toBeUndefined();
  expect(nearest('x'.repeat(100_000), ['ignore'])).toBeUndefined();
});
